import { GatepassError } from '../core/errors.ts'
import type { Audit } from '../issuer/audit.ts'
import type { Clients } from '../issuer/clients.ts'
import type { Sessions } from '../issuer/sessions.ts'
import { isRegistered, withParameters } from './authorization-request.ts'
import type { Form } from './form.ts'
import type { IdTokenHint, IdTokens } from './id-tokens.ts'
import type { SignIn, SignIns } from './sign-ins.ts'

export interface SignOutOptions {
  readonly clients: Clients
  readonly sessions: Sessions
  readonly signIns: Pick<SignIns, 'authTimesMs'>
  readonly idTokens: Pick<IdTokens, 'readHint'>
}

/** A request to sign out (OpenID Connect RP-Initiated Logout §2). */
export interface SignOutRequest {
  /** The address to which the browser goes afterwards; null for a page of the issuer. */
  readonly url: string | null
  /** The ID token that proves that the request concerns a user of the application. */
  readonly hint: IdTokenHint | null
}

/** Signs users out at the issuer, for an application. */
export class SignOut {
  readonly #options: SignOutOptions

  constructor(options: SignOutOptions) {
    this.#options = options
  }

  /**
   * Reads a request.
   *
   * @throws `redirect_uri_not_allowed`, `request_malformed`: the caller shows a page
   */
  async read(parameters: Form): Promise<SignOutRequest> {
    const { clients, idTokens } = this.#options
    const { id_token_hint: text, client_id: clientId, state } = parameters
    const { post_logout_redirect_uri: redirectUri } = parameters
    const hint = text === undefined ? null : await idTokens.readHint(text)
    if (hint !== null && clientId !== undefined && clientId !== hint.clientId) {
      throw new GatepassError('request_malformed', { detail: 'The ID token is of another client.' })
    }
    if (redirectUri === undefined) return { url: null, hint }
    const client = clients.find(hint?.clientId ?? clientId ?? '')
    if (!isRegistered(redirectUri, client?.post_logout_redirect_uris)) {
      throw new GatepassError('redirect_uri_not_allowed')
    }
    return { url: withParameters(redirectUri, { state }), hint }
  }

  /** Returns whether the user must confirm, because any site can send a browser here. */
  needsConfirmation({ hint }: SignOutRequest, signIn: SignIn | null): boolean {
    return signIn !== null && hint?.sub !== signIn.account.sub
  }

  /**
   * Ends a sign-in and every session that applications started from it, or from a sign-in of the
   * user that it has replaced. A session belongs to the sign-in that has its user and its time of
   * sign-in.
   *
   * @throws `clock_skew`, `store_unavailable`
   */
  async end({ hint }: SignOutRequest, signIn: SignIn | null, audit: Audit): Promise<void> {
    const { sessions, signIns } = this.#options
    if (hint?.sid !== undefined) {
      const session = await sessions.find(hint.sid)
      if (session?.sub === hint.sub) await sessions.logout(session.sid, audit)
    }
    if (signIn === null) return
    const authTimesMs = await signIns.authTimesMs(signIn)
    // The sign-in ends last, so that a repetition after a failure finds the others.
    await this.#endStartedFrom(signIn, authTimesMs, audit)
    await sessions.logout(signIn.sid, audit)
    // A code may have been redeemed meanwhile. From here on the codes of the sign-in are void.
    await this.#endStartedFrom(signIn, authTimesMs, audit)
  }

  async #endStartedFrom(signIn: SignIn, authTimesMs: readonly number[], audit: Audit) {
    const { sessions } = this.#options
    for (const { sid, createdAtMs } of await sessions.list(signIn.account.sub)) {
      if (sid !== signIn.sid && authTimesMs.includes(createdAtMs)) await sessions.logout(sid, audit)
    }
  }
}
