import type { ErrorCode } from '../core/errors.ts'

export interface AuthClientOptions {
  /** The address of the issuer, as in `GATEPASS_ISSUER`: `https://auth.example.com`, with its path. */
  readonly issuer: string
  /** Other origins that `fetch` sends the access token to. That of the issuer always gets it. */
  readonly origins?: readonly string[]
  /** The client of the issuer that users sign in with; without it the first one. */
  readonly clientId?: string
  /**
   * Binds the tokens to a key (DPoP, RFC 9449): `true` makes one that no script can read out, kept
   * in IndexedDB; or a key pair for ES256 of your own. Without it they are bearer tokens.
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
  /** What the token shall allow, separated by spaces; without it the default of the client. */
  readonly scope?: string
}

/**
 * What is known of the session: `unknown` until the issuer was first asked. Never changes; each change
 * makes a new object.
 */
export type AuthState =
  | { readonly status: 'unknown' | 'signed-out' }
  | {
      readonly status: 'signed-in'
      readonly sessionId: string
      readonly scope: string
      /**
       * When the access token expires, as `Date.now()` counts: to show to people. Whether a token is
       * still good is for `getAccessToken` to tell.
       */
      readonly accessTokenExpiresAtMs: number
    }

/** `GET /me`. */
export interface User {
  readonly sub: string
  readonly username: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly created_at: string
}

/** One of `GET /sessions`: a device that the user is signed in on. */
export interface DeviceSession {
  readonly session_id: string
  readonly client_id: string
  readonly scope: string
  readonly user_agent: string
  readonly created_at: string
  readonly last_used_at: string
  readonly expires_at: string
  /** Whether it is this one. */
  readonly current: boolean
}

/** Keeps a user signed in, in all tabs of an origin. Every rejection is an `AuthClientError`. */
export interface AuthClient {
  /** What is known now, without asking: the same object until something changes. */
  readonly state: AuthState
  /** Signs in. Rejects with `credentials_invalid`, or `too_many_attempts` and how long to wait. */
  login(credentials: Credentials): Promise<void>
  /**
   * Signs out, in the other tabs too. Here it is done at once, whatever becomes of the promise: a
   * rejection says that the issuer has not heard of it yet. It will, before anything else is asked.
   */
  logout(): Promise<void>
  /** Ends every session of the user, on all devices; then this one here. */
  logoutEverywhere(): Promise<void>
  /**
   * As the global `fetch`. To the origins that may have it, it sends an access token that is still
   * good, and does so again, once, where that was answered by 401. Without a session it sends none.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>
  /** An access token that is still good; null when nobody is signed in. */
  getAccessToken(): Promise<string | null>
  /** The user's own record; null when nobody is signed in. */
  user(): Promise<User | null>
  /** The devices that the user is signed in on; none when nobody is signed in. */
  sessions(): Promise<readonly DeviceSession[]>
  /** Signs one of them out. */
  endSession(sessionId: string): Promise<void>
  /**
   * Calls back whenever somebody signs in or out, in any tab of the origin, and for each new access
   * token. @returns how to stop that
   */
  onChange(listener: (state: AuthState) => void): () => void
  /** Stops listening to other tabs and to the page. */
  close(): void
}

/** A code of the issuer (docs/errors.md), or `issuer_unreachable`: no answer of it came. */
export type AuthErrorCode = ErrorCode | 'issuer_unreachable'
