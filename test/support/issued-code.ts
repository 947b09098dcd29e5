import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { signInClientId } from '../../src/issuer/clients.ts'
import {
  AuthorizationCodes,
  type AuthorizationGrant,
  codeChallengeOf,
} from '../../src/oauth/authorization-codes.ts'
import { openAccountStore, openSessionStore } from '../../src/stores/open-stores.ts'
import { redirectUri } from './oauth.ts'
import { session } from './sessions.ts'
import { codeVerifier, redemption } from './visitor.ts'

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
  const nowMs = Date.now()
  const signIn = session({
    sub,
    clientId: signInClientId,
    createdAtMs: nowMs,
    endsAtMs: nowMs + 3_600_000,
    expiresAtMs: nowMs + 3_600_000,
  })
  await store.create(signIn)
  const grant = (scope: string): AuthorizationGrant => ({
    clientId,
    redirectUri,
    codeChallenge: codeChallengeOf(codeVerifier),
    sub,
    signInSid: signIn.sid,
    scope,
    amr: ['pwd'],
    authTimeMs: nowMs,
    userAgent: '',
  })
  /** Returns the sessions that the client has started. */
  const started = async () =>
    (await store.listBySub(sub, Date.now())).filter(({ sid }) => sid !== signIn.sid)
  return {
    store,
    started,
    /** Returns the form that redeems a new code. */
    async issue(scope: string): Promise<URLSearchParams> {
      const code = await codes.issue(grant(scope))
      return new URLSearchParams({ ...redemption, code })
    },
  }
}
