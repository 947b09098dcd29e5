import { GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import { isMediaType, parseCompactJws, type SignedMessage } from './access-token.ts'
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import { isFractionalDate, isJsonObject, parseStrictJson } from './strict-decoding.ts'
import { importVerificationKey, jwkThumbprint, type VerificationKey } from './verification-key.ts'

/** Size limit of a proof in bytes. An ES256 proof has about 500, an ML-DSA-44 proof 5,500. */
const maxProofBytes = 8192

const maxJtiLength = 256
const maxMethodLength = 32
const maxUriLength = 4096

const proofType = 'dpop+jwt'

/** A parsed DPoP proof (RFC 9449 §4.2), not verified. */
export interface DpopProof extends SignedMessage {
  readonly header: { readonly alg: Algorithm; readonly jwk: JsonObject }
  /** Thumbprint of its key (RFC 7638), to compare with `cnf.jkt` of a token. */
  readonly jkt: string
  readonly claims: DpopClaims
}

export interface DpopClaims {
  /** Method of the request. */
  readonly htm: string
  /** URI of the request. */
  readonly htu: string
  /** Time of signing, in whole seconds since 1970. */
  readonly iat: number
  /** The proof is rejected before `nbf`, and from `exp` on (RFC 7519 §4.1). */
  readonly nbf: number
  readonly exp: number
  /** Id of the proof. */
  readonly jti: string
  /** SHA-256 of the access token, in base64url; null in a request for a token. */
  readonly ath: string | null
  /** The nonce of a server (RFC 9449 §8); null without one. */
  readonly nonce: string | null
}

/**
 * Parses a proof as strictly as an access token: one text, no duplicate member, no `crit`. Hashes
 * the key of the proof, but does not import it: the caller first compares the thumbprint.
 *
 * @throws `dpop_proof_invalid`; the cause has the reason and quotes nothing of the proof
 */
export function parseDpopProof(text: string): DpopProof {
  const parsed = parseCompactJws(text, maxProofBytes)
  if (parsed === null) throw invalidProof('it is not an acceptable JWS')
  const { alg, jwk, typ } = parsed.header
  if (!isMediaType(typ, proofType)) throw invalidProof(`its typ is not ${proofType}`)
  if (!isAlgorithm(alg)) throw invalidProof('its alg is not accepted')
  if (!isJsonObject(jwk)) throw invalidProof('it has no jwk')
  const jkt = jwkThumbprint(jwk, alg)
  if (jkt === null) throw invalidProof('its jwk is not a key for its alg')
  const { signingInput, signature, payload } = parsed
  return { header: { alg, jwk }, signingInput, signature, jkt, claims: readClaims(payload) }
}

/**
 * Imports the key of a proof, by the same rules as a key of an issuer.
 *
 * @param known the imported key of an earlier proof; returned if it is the same key
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

/** @param reason for the log. The client receives the error code only. */
export function invalidProof(reason: string): GatepassError {
  return new GatepassError('dpop_proof_invalid', { cause: new Error(`DPoP proof: ${reason}`) })
}

function readClaims(payloadBytes: Buffer): DpopClaims {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw invalidProof('its payload is not a JSON object')
  const { htm, htu, iat, nbf = 0, exp = Number.MAX_SAFE_INTEGER, jti, ath = null, nonce } = claims
  const isValid =
    isText(htm, maxMethodLength) &&
    isText(htu, maxUriLength) &&
    isText(jti, maxJtiLength) &&
    (ath === null || typeof ath === 'string') &&
    isFractionalDate(iat) &&
    isFractionalDate(nbf) &&
    isFractionalDate(exp)
  if (!isValid) throw invalidProof('a claim is missing or invalid')
  const claimed = { htm, htu, iat: Math.floor(iat), nbf, exp, jti, ath }
  return { ...claimed, nonce: typeof nonce === 'string' ? nonce : null }
}

function isText(value: JsonValue | undefined, lengthMax: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= lengthMax
}
