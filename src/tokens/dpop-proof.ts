import { hash } from 'node:crypto'
import { GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import { type SignedText, splitCompact } from './access-token.ts'
import { type Algorithm, algorithms, isAlgorithm } from './algorithms.ts'
import { isJsonObject, parseStrictJson } from './strict-decoding.ts'
import { importVerificationKey, type VerificationKey } from './verification-key.ts'

/** The longest proof that is looked at, in bytes. One by ML-DSA-44 has about 5500, by ES256 500. */
export const maxProofBytes = 8192

const jtiLengthMax = 256
const methodLengthMax = 32
const uriLengthMax = 4096

const proofType = 'dpop+jwt'

/** A DPoP proof (RFC 9449 §4.2), taken apart but not yet believed. */
export interface DpopProof {
  readonly header: { readonly alg: Algorithm; readonly jwk: JsonObject }
  /** The thumbprint of its key (RFC 7638): what the `cnf.jkt` of a token must be. */
  readonly jkt: string
  /** What its signature is checked of; its key goes by the thumbprint. */
  readonly jws: SignedText
  readonly claims: DpopClaims
}

export interface DpopClaims {
  /** The method of the request that it is for. */
  readonly htm: string
  /** The URI of that request. */
  readonly htu: string
  /** When it was made, in seconds. */
  readonly iat: number
  /** Its own id. */
  readonly jti: string
  /** The hash of the access token that it goes with; a request for a token has none. */
  readonly ath: string | null
}

/**
 * Takes a proof apart, as strictly as an access token: one text only, no member given twice, and
 * nothing in `crit`. Its key is compared with a thumbprint before anything is done with it, so the
 * work on a stranger's key is that of a hash.
 *
 * @throws `dpop_proof_invalid`; the cause says why, without a word of the proof
 */
export function parseDpopProof(text: string): DpopProof {
  const parts = splitCompact(text, maxProofBytes)
  if (parts === null) throw invalidProof('it is no JWS')
  const header = parseStrictJson(parts.headerBytes)
  if (!isJsonObject(header) || Object.hasOwn(header, 'crit')) throw invalidProof('its header')
  const { alg, jwk, typ } = header
  if (!isProofType(typ)) throw invalidProof('its typ is another')
  if (!isAlgorithm(alg)) throw invalidProof('its alg is not accepted')
  if (!isJsonObject(jwk)) throw invalidProof('it has no jwk')
  const jkt = jwkThumbprint(jwk, alg)
  if (jkt === null) throw invalidProof('its jwk is not one for its alg')
  const { signingInput, payload, signature } = parts
  return {
    header: { alg, jwk },
    jkt,
    jws: { header: { alg, kid: jkt }, signingInput, signature },
    claims: readClaims(payload),
  }
}

/**
 * The key of a proof, held to the same rules as a key of an issuer.
 *
 * @param known the key of an earlier proof, which it may be again
 * @throws `dpop_proof_invalid` for a private, symmetric, weak or mismatched key
 */
export function importProofKey(
  { header: { alg, jwk }, jkt }: DpopProof,
  known?: VerificationKey,
): VerificationKey {
  if (jwk.alg !== undefined && jwk.alg !== alg) throw invalidProof('its jwk is for another alg')
  const imported = importVerificationKey({ ...jwk, alg, kid: jkt }, known && [known])
  if (!imported.ok) throw invalidProof(`its jwk: ${imported.reason}`)
  return imported.key
}

/** What the `ath` of a proof must be that goes with an access token (RFC 9449 §4.2). */
export function accessTokenHash(token: string): string {
  return hash('sha256', token, 'base64url')
}

/** The client reads the code alone; the log, which rule it was. */
export function invalidProof(reason: string): GatepassError {
  return new GatepassError('dpop_proof_invalid', { cause: new Error(`DPoP proof: ${reason}`) })
}

/** A media type, as with an access token (RFC 7515 §4.1.9). */
function isProofType(typ: JsonValue | undefined): boolean {
  if (typeof typ !== 'string') return false
  const type = typ.toLowerCase()
  return type === proofType || type === `application/${proofType}`
}

function readClaims(payloadBytes: Buffer): DpopClaims {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw invalidProof('its payload is not a JSON object')
  const { htm, htu, iat, jti, ath = null } = claims
  const hasForm =
    isText(htm, methodLengthMax) &&
    isText(htu, uriLengthMax) &&
    isText(jti, jtiLengthMax) &&
    (ath === null || typeof ath === 'string') &&
    typeof iat === 'number' &&
    Number.isSafeInteger(iat) &&
    iat >= 0
  if (!hasForm) throw invalidProof('a claim is missing or of the wrong form')
  return { htm, htu, iat, jti, ath }
}

function isText(value: JsonValue | undefined, lengthMax: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= lengthMax
}

/** The members that a thumbprint is made of, in their order: RFC 7638 §3.2, RFC 8037 §2, RFC 9964 §6. */
const members = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
  AKP: ['alg', 'kty', 'pub'],
} as const

/** The length of a SHA-256 thumbprint in base64url. */
const thumbprintLength = 43

/**
 * The SHA-256 thumbprint of a JWK (RFC 7638) that is of the type of an algorithm; null if a member is
 * missing. It says which key it is, not that it is one.
 */
export function jwkThumbprint(jwk: JsonObject, alg: Algorithm): string | null {
  const { kty } = algorithms[alg]
  const canonical: Record<string, string> = {}
  for (const name of members[kty]) {
    const value = jwk[name]
    if (typeof value !== 'string') return null
    canonical[name] = value
  }
  return canonical.kty === kty ? hash('sha256', JSON.stringify(canonical), 'base64url') : null
}

/** Whether a value has the form of such a thumbprint. */
export function isThumbprint(value: unknown): value is string {
  if (typeof value !== 'string' || value.length !== thumbprintLength) return false
  return Buffer.from(value, 'base64url').toString('base64url') === value
}
