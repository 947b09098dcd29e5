import type { AuthClient } from './types.ts'

export interface RedirectOptions {
  /** The flow of this entry point. */
  readonly flow?: 'redirect'
  /** The URL of the issuer, as in `GATEPASS_ISSUER`: `https://auth.example.com`, with its path. */
  readonly issuer: string
  /** The id of this front end in `GATEPASS_CLIENTS`. */
  readonly clientId: string
  /** The address of a page of this front end, as in the `redirect_uris` of the client. */
  readonly redirectUri: string
  /** The scopes of a sign-in, separated by spaces. Default: the scopes of the client. */
  readonly scope?: string
  /** Origins that `fetch` sends the access token to, besides the issuer's. */
  readonly origins?: readonly string[]
}

export interface SignInRequest {
  /** Default: the scope of the options. */
  readonly scope?: string
  /** The user name that the sign-in page suggests. */
  readonly loginHint?: string
  /** `login` asks for the password again, `none` shows no page (OpenID Connect Core §3.1.2.1). */
  readonly prompt?: 'none' | 'login' | 'consent'
  /** Comes back in `returned`. Default: the address of the page. */
  readonly returnTo?: string
  /** Shows the sign-in page in a popup. Call it in the event of a click, before any request. */
  readonly popup?: boolean
}

/** A finished sign-in. */
export interface Returned {
  readonly returnTo: string
}

/** An `AuthClient` whose users sign in on the page of the issuer. */
export interface RedirectAuthClient extends Omit<AuthClient, 'login'> {
  /**
   * Leaves the page for the sign-in page of the issuer. With `popup` the page stays, and the promise
   * resolves when the user has signed in, or rejects with `popup_blocked`, `popup_closed` or
   * `authorization_failed`.
   */
  login(request?: SignInRequest): Promise<void>
  /**
   * The sign-in that this page load finishes; null if the page was loaded in another way. Rejects with
   * `authorization_failed` if the user or the issuer refused.
   */
  readonly returned: Promise<Returned | null>
}
