import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import { decodeBase64url, isJsonObject, parseStrictJson } from './strict-decoding.ts'

/** Default size limit of a token in bytes. An ML-DSA-44 token has about 4,000. */
export const maxTokenBytesDefault = 8192

const maxKeyIdLength = 256

/** What verifying a signature takes. */
export interface SignedText {
  readonly header: { readonly alg: Algorithm; readonly kid: string }
  /** The text up to its second dot (RFC 7515 §5.2). */
  readonly signingInput: string
  readonly signature: Buffer
}

/** A parsed access token. Its payload must not be read before the signature is verified. */
export interface CompactToken extends SignedText {
  readonly payload: Buffer
}

/**
 * Parses an access token (RFC 9068) in JWS Compact Serialization (RFC 7515 §3.1), strictly: each
 * token has one text, and its header contains nothing that is not understood.
 *
 * Only `alg`, `typ`, `kid` and `crit` are read. A key or an address in the header (`jwk`, `x5c`,
 * `jku`, `x5u`) is never used.
 *
 * @param maxBytes a longer token is refused unread
 * @throws `token_malformed` for any other text, for `crit` in any form, and for a bad `kid`;
 *   `token_algorithm` for an unknown `alg`; `token_type` if it is not an access token;
 *   `token_key_unknown` without a `kid`
 */
export function parseCompact(token: string, maxBytes = maxTokenBytesDefault): CompactToken {
  const parts = typeof token === 'string' ? splitCompact(token, maxBytes) : null
  if (parts === null) throw malformed()
  const { headerBytes, payload, signature, signingInput } = parts
  return { header: readHeader(headerBytes), payload, signature, signingInput }
}

/** The decoded parts of a JWS in Compact Serialization (RFC 7515 §3.1). */
export interface CompactParts {
  readonly headerBytes: Buffer
  readonly payload: Buffer
  readonly signature: Buffer
  /** The text up to its second dot (RFC 7515 §5.2). */
  readonly signingInput: string
}

/** Splits and decodes a JWS. Null if the text is too long or not canonical. */
export function splitCompact(text: string, maxBytes: number): CompactParts | null {
  // Valid base64url is ASCII: one character is one byte.
  if (text.length > maxBytes) return null
  const headerEnd = text.indexOf('.')
  const payloadEnd = text.indexOf('.', headerEnd + 1)
  if (headerEnd === -1 || payloadEnd === -1) return null
  const headerBytes = decodeBase64url(text.slice(0, headerEnd))
  const payload = decodeBase64url(text.slice(headerEnd + 1, payloadEnd))
  // A third dot would be part of the signature, which is not base64url then.
  const signature = decodeBase64url(text.slice(payloadEnd + 1))
  if (headerBytes === null || payload === null || signature === null) return null
  return { headerBytes, payload, signature, signingInput: text.slice(0, payloadEnd) }
}

function readHeader(bytes: Buffer): CompactToken['header'] {
  const header = parseStrictJson(bytes)
  // No extension is understood, so whatever `crit` lists is not understood (RFC 7515 §4.1.11).
  if (!isJsonObject(header) || Object.hasOwn(header, 'crit')) throw malformed()
  if (!isAlgorithm(header.alg)) throw new GatepassError('token_algorithm')
  if (!isAccessTokenType(header.typ)) throw new GatepassError('token_type')
  if (header.kid === undefined) throw new GatepassError('token_key_unknown')
  if (!isKeyId(header.kid)) throw malformed()
  return { alg: header.alg, kid: header.kid }
}

/** Compares `typ` as a media type: ignores case and a leading "application/" (RFC 7515 §4.1.9). */
export function isAccessTokenType(typ: unknown): boolean {
  if (typeof typ !== 'string') return false
  const type = typ.toLowerCase()
  return type === accessTokenType || type === `application/${accessTokenType}`
}

/** Tells whether a value can be a key id: a string of bounded length without control characters. */
export function isKeyId(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.length > maxKeyIdLength) return false
  for (let at = 0; at < value.length; at += 1) {
    const code = value.charCodeAt(at)
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false
  }
  return true
}

function malformed(): GatepassError {
  return new GatepassError('token_malformed')
}

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
  if (required === '') return true
  const have = new Set((granted ?? '').split(' '))
  return required.split(' ').every((scope) => scope === '' || have.has(scope))
}
