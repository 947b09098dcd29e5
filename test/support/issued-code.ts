import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import {
  AuthorizationCodes,
  type AuthorizationGrant,
  codeChallengeOf,
} from '../../src/oauth/authorization-codes.ts'
import { openAccountStore, openSessionStore } from '../../src/stores/open-stores.ts'

const codeVerifier = 'a-code-verifier-of-at-least-forty-three-characters'
const redirectUri = 'https://app.example.com/cb'

/** A public client that gets tokens for a code. */
export const codeClient = {
  client_id: 'spa',
  grants: ['authorization_code', 'refresh_token'],
  redirect_uris: [redirectUri],
  scopes: {},
}

/** The stores of issuer processes. */
export interface SharedStores {
  readonly cwd: string
  readonly accountsUrl: string
  readonly sessionsUrl: string
}

/** Issues codes for the user `ada` into the stores of issuer processes, as a sign-in page does. */
export async function openCodes(t: Test, { cwd, accountsUrl, sessionsUrl }: SharedStores) {
  const accounts = await openAccountStore(accountsUrl, cwd)
  const store = await openSessionStore(sessionsUrl, cwd)
  t.teardown(() => Promise.all([accounts.close(), store.close()]))
  const sub = (await accounts.findByLoginName('ada'))?.sub ?? ''
  const sessions = { revokeUnchecked: async () => {} }
  const codes = new AuthorizationCodes({ store, sessions, clock: systemClock })
  const { client_id: clientId } = codeClient
  const grant = (scope: string): AuthorizationGrant => ({
    clientId,
    redirectUri,
    codeChallenge: codeChallengeOf(codeVerifier),
    sub,
    scope,
    amr: ['pwd'],
    authTimeMs: Date.now(),
    userAgent: '',
  })
  return {
    sub,
    store,
    /** Returns the form that redeems a new code. */
    async issue(scope: string): Promise<URLSearchParams> {
      const code = await codes.issue(grant(scope))
      const fields = { grant_type: 'authorization_code', client_id: clientId, code }
      return new URLSearchParams({
        ...fields,
        redirect_uri: redirectUri,
        code_verifier: codeVerifier,
      })
    },
  }
}
