import type { ErrorCode } from '../core/errors.ts'

export interface AuthClientOptions {
  /** The URL of the issuer, as in `GATEPASS_ISSUER`: `https://auth.example.com`, with its path. */
  readonly issuer: string
  /** Origins that `fetch` sends the access token to, besides the issuer's. */
  readonly origins?: readonly string[]
  /** The id of the client that users sign in with. Default: the issuer's first client. */
  readonly clientId?: string
  /**
   * Binds the tokens to a key (DPoP, RFC 9449): `true` creates a key in IndexedDB that no script can
   * export, or pass your own key pair for ES256. Default: bearer tokens.
   */
  readonly dpop?: boolean | KeyPair
}

/** A `CryptoKeyPair` of the Web Crypto API. */
export interface KeyPair {
  readonly publicKey: CryptoKey
  readonly privateKey: CryptoKey
}

type CryptoKey = Parameters<typeof crypto.subtle.sign>[1]

export interface Credentials {
  readonly username: string
  readonly password: string
  /** The requested scopes, separated by spaces. Default: the scopes of the client. */
  readonly scope?: string
}

/**
 * The state of the session: `unknown` until the issuer has first responded. The object is immutable; each
 * change creates a new one.
 */
export type AuthState =
  | { readonly status: 'unknown' | 'signed-out' }
  | {
      readonly status: 'signed-in'
      readonly sessionId: string
      readonly scope: string
      /**
       * When the access token expires, comparable with `Date.now()`. For display only:
       * `getAccessToken` decides whether a token is still valid.
       */
      readonly accessTokenExpiresAtMs: number
    }

/** The user, as `GET /me` responds. */
export interface User {
  /** Id of the user, as in the access token. */
  readonly sub: string
  readonly username: string
  /** Attributes of the account. */
  readonly attributes: Readonly<Record<string, unknown>>
  /** Time of creation (RFC 3339). */
  readonly created_at: string
}

/** An entry of `GET /sessions`: a device on which the user is signed in. Times are in the format of RFC 3339. */
export interface DeviceSession {
  readonly session_id: string
  readonly client_id: string
  readonly scope: string
  /** The header `User-Agent` of the sign-in. */
  readonly user_agent: string
  readonly created_at: string
  /** Time of the last refresh. */
  readonly last_used_at: string
  readonly expires_at: string
  /** Whether this is the session of the caller. */
  readonly current: boolean
}

/**
 * Keeps a user signed in, in all tabs of an origin. Rejects with `AuthClientError`; `fetch` also as the
 * global `fetch` does. IndexedDB, where a client needs it, fails with its own errors. A library can be given
 * the functions that are properties.
 */
export interface AuthClient {
  /** The state, without a request. The same object until the state changes. */
  readonly state: AuthState
  /** Signs in. Rejects with `credentials_invalid`, or with `too_many_attempts` and `retryAfterSeconds`. */
  login(credentials: Credentials): Promise<void>
  /**
   * Signs out in all tabs, immediately. A rejection means that the issuer is not notified yet. The client
   * notifies it when a page is loaded, is shown again or comes online, and before a sign-in.
   */
  logout(): Promise<void>
  /** Ends every session of the user on all devices. */
  logoutEverywhere(): Promise<void>
  /**
   * Works like the global `fetch` and adds the access token for the issuer and `origins`. After a 401
   * it refreshes and repeats the request once. Without a session it adds no token.
   */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>
  /** Returns a valid access token; null without a session. */
  readonly getAccessToken: () => Promise<string | null>
  /** Returns the user's own record; null without a session. */
  user(): Promise<User | null>
  /** Returns the devices on which the user is signed in; an empty list without a session. */
  sessions(): Promise<readonly DeviceSession[]>
  /** Ends the session of a device. */
  endSession(sessionId: string): Promise<void>
  /**
   * Calls back after each sign-in and sign-out in any tab of the origin, and for each new access token.
   * @returns a function that removes the listener
   */
  readonly onChange: (listener: (state: AuthState) => void) => () => void
  /** Removes all listeners, and stops following the other tabs. */
  close(): void
}

/** A code of the issuer (docs/errors.md), or one of the client: see docs/front-end.md. */
export type AuthErrorCode = ErrorCode | 'issuer_unreachable' | 'popup_blocked' | 'popup_closed'

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
   * Leaves the page for the sign-in page of the issuer. Rejects with `authorization_failed` if the user
   * comes back to the page without a sign-in. With `popup` the page stays, and the promise
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
