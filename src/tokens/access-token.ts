import { GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import { LruCache } from '../core/lru-cache.ts'
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import { copyOf, decodeBase64url, isJsonObject, parseStrictJson } from './strict-decoding.ts'

/**
 * The claims of an access token (RFC 9068 §2.2) and its session id. Times are in seconds since 1970.
 * `aud`, `jti` and `client_id` are missing only in tokens of an issuer whose profile allows that.
 */
export interface AccessTokenClaims {
  /** Issuer. */
  readonly iss: string
  /** User; for a token of a service, its `client_id`. */
  readonly sub: string
  /** One audience, or several. */
  readonly aud?: string | readonly string[]
  /** Expiry: the token is rejected from this second on. */
  readonly exp: number
  /** Time of signing. */
  readonly iat: number
  /** The token is rejected before this second. */
  readonly nbf?: number
  /** Id of the token. */
  readonly jti?: string
  /** Client that requested the token. */
  readonly client_id?: string
  /** Granted scopes, separated by spaces (RFC 6749 §3.3). */
  readonly scope?: string
  /** Session that the token belongs to. */
  readonly sid?: string
  /** Time at which the user signed in. */
  readonly auth_time?: number
  /** Level of the sign-in: `1` for one factor, `2` for more (OpenID Connect Core §2). */
  readonly acr?: string
  /** Authentication methods (RFC 8176). */
  readonly amr?: readonly string[]
  /** Thumbprint of the key that the token is bound to (RFC 9449 §6.1). Such a token requires a proof. */
  readonly cnf?: { readonly jkt: string }
  /** Further claims, which depend on the scopes of the client. */
  readonly [name: string]: JsonValue | undefined
}

/** The `typ` of an access token's header (RFC 9068 §2.1). */
export const accessTokenType = 'at+jwt'

/** The values of `typ` that an access token may have: some gateways refuse `at+jwt`. */
export const tokenTypes = [accessTokenType, 'JWT'] as const

export type TokenType = (typeof tokenTypes)[number]

const accessTokenTypes: ReadonlySet<string | null> = new Set([accessTokenType])

/** Tells whether a scope list (RFC 6749 §3.3) contains every scope of `required`. */
export function hasScopes(granted: string | undefined, required: string): boolean {
  const scopes = ` ${granted ?? ''} `
  return required.split(' ').every((scope) => scope === '' || scopes.includes(` ${scope} `))
}

/** Default size limit of a token in bytes. An ML-DSA-44 token has about 4,000. */
export const defaultMaxTokenBytes = 8192

const maxKeyIdLength = 256

interface AccessTokenHeader {
  readonly alg: Algorithm
  readonly kid: string
  /** `typ` as `mediaTypeOf` returns it. */
  readonly type: string | null
}

/**
 * The input of a signature verification.
 * @internal
 */
export interface SignedMessage {
  /** A signature is valid only if `alg` is the algorithm of the key. */
  readonly header: { readonly alg?: unknown }
  /** The text up to the second dot (RFC 7515 §5.2). */
  readonly signingInput: string
  readonly signature: Buffer
}

/**
 * The decoded parts of a JWS in Compact Serialization (RFC 7515 §3.1).
 * @internal
 */
export interface CompactJws<Header extends SignedMessage['header'] = JsonObject>
  extends SignedMessage {
  readonly header: Header
  readonly payload: Buffer
}

/**
 * A parsed access token. Its payload must not be read before the signature is verified.
 * @internal
 */
export type SignedAccessToken = CompactJws<AccessTokenHeader>

/** More than the keys of all trusted issuers, so that no accepted header is evicted. */
const maxCachedHeaders = 64

/**
 * Creates a parser for access tokens (RFC 9068) in JWS Compact Serialization (RFC 7515 §3.1), strictly:
 * each token has one text. A key or an address in the header (`jwk`, `x5c`, `jku`, `x5u`) is never used.
 *
 * @param maxBytes a longer token is rejected unread
 * @param types the accepted values of `typ`, as `mediaTypeOf` returns them
 * @returns a parser. It throws `token_malformed` for any other text, for `crit` in any form, and for a bad
 *   `kid`; `token_algorithm` for an unknown `alg`; `token_type` for another `typ`; `token_key_unknown`
 *   without a `kid`.
 * @internal
 */
export function createAccessTokenParser(
  maxBytes = defaultMaxTokenBytes,
  types: ReadonlySet<string | null> = accessTokenTypes,
): (token: string) => SignedAccessToken {
  /** Accepted headers by their text. The tokens of a key have the same header. */
  const headers = new LruCache<AccessTokenHeader>(maxCachedHeaders)

  function readHeader(text: string): AccessTokenHeader | null {
    const known = headers.get(text)
    if (known !== undefined) return known
    const jose = parseJoseHeader(text)
    if (jose === null) return null
    const header = checkHeader(jose, types)
    headers.set(copyOf(text), header)
    return header
  }

  return (token) => {
    const jws = typeof token === 'string' ? splitCompactJws(token, maxBytes, readHeader) : null
    if (jws === null) throw new GatepassError('token_malformed')
    return jws
  }
}

function checkHeader(
  { alg, typ, kid }: JsonObject,
  types: ReadonlySet<string | null>,
): AccessTokenHeader {
  if (!isAlgorithm(alg)) throw new GatepassError('token_algorithm')
  const type = mediaTypeOf(typ)
  if (type === undefined || !types.has(type)) throw new GatepassError('token_type')
  if (kid === undefined) throw new GatepassError('token_key_unknown')
  if (!isKeyId(kid)) throw new GatepassError('token_malformed')
  return { alg, kid, type }
}

/**
 * Decodes a JWS. Verifies nothing.
 *
 * @returns null if the text is too long or not canonical, or if the header has `crit`
 * @internal
 */
export function parseCompactJws(text: string, maxBytes: number): CompactJws | null {
  return splitCompactJws(text, maxBytes, parseJoseHeader)
}

/** @param readHeader called with the encoded header if all else is acceptable */
function splitCompactJws<Header extends SignedMessage['header']>(
  text: string,
  maxBytes: number,
  readHeader: (encoded: string) => Header | null,
): CompactJws<Header> | null {
  // Valid base64url is ASCII: one character is one byte.
  if (text.length > maxBytes) return null
  const headerEnd = text.indexOf('.')
  const payloadEnd = text.indexOf('.', headerEnd + 1)
  if (payloadEnd === -1) return null
  const payload = decodeBase64url(text.slice(headerEnd + 1, payloadEnd))
  // A third dot would be part of the signature, where base64url does not allow it.
  const signature = decodeBase64url(text.slice(payloadEnd + 1))
  if (payload === null || signature === null) return null
  const header = readHeader(text.slice(0, headerEnd))
  return header && { header, payload, signature, signingInput: text.slice(0, payloadEnd) }
}

/** Parses a header (RFC 7515 §4). No extension is understood, so none that `crit` lists (§4.1.11). */
function parseJoseHeader(encoded: string): JsonObject | null {
  const bytes = decodeBase64url(encoded)
  const header = bytes === null ? null : parseStrictJson(bytes)
  return isJsonObject(header) && !Object.hasOwn(header, 'crit') ? header : null
}

/**
 * Reads a `typ` or `cty` for a comparison: in lower case and without "application/" (RFC 7515 §4.1.9).
 *
 * @returns null if there is none; undefined if it is not a string
 */
export function mediaTypeOf(value: unknown): string | null | undefined {
  if (value === undefined) return null
  if (typeof value !== 'string') return undefined
  return value.toLowerCase().replace(/^application\//, '')
}

/** Compares a `typ` or `cty`. */
export function isMediaType(value: unknown, type: string): boolean {
  return mediaTypeOf(value) === type
}

/** Tells whether a value can be a key id: a string of bounded length without control characters. */
export function isKeyId(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.length > maxKeyIdLength) return false
  return !/\p{Cc}/u.test(value)
}
