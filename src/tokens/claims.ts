import type { JsonValue } from '../core/json.ts'

/** The claims of an access token (RFC 9068 §2.2), with our session id. Times are in seconds. */
export interface AccessTokenClaims {
  /** Who signed it. */
  readonly iss: string
  /** The user. */
  readonly sub: string
  /** Whom it is for; one name, or several. */
  readonly aud: string | readonly string[]
  /** From this second on it is not accepted. */
  readonly exp: number
  /** When it was signed. */
  readonly iat: number
  /** Before this second it is not accepted. */
  readonly nbf?: number
  /** Its own id. */
  readonly jti: string
  /** The client that the user signed in with. */
  readonly client_id: string
  /** What it allows, space separated (RFC 6749 §3.3). */
  readonly scope?: string
  /** The session it belongs to. */
  readonly sid?: string
  /** When the user signed in. */
  readonly auth_time?: number
  /** How the user signed in (RFC 8176). */
  readonly amr?: readonly string[]
  /** The key that it is bound to, by its thumbprint (RFC 9449 §6.1): of no use without a proof. */
  readonly cnf?: { readonly jkt: string }
  /** What else the client's scopes bring along. */
  readonly [name: string]: JsonValue | undefined
}

/** The `typ` of an access token's header (RFC 9068 §2.1). */
export const accessTokenType = 'at+jwt'

/** Whether a scope list (RFC 6749 §3.3) holds every scope of `required`. */
export function hasScopes(granted: string | undefined, required: string): boolean {
  const have = new Set((granted ?? '').split(' '))
  return required.split(' ').every((scope) => scope === '' || have.has(scope))
}
