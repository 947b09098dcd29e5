import { hash } from 'node:crypto'
import { type Clock, nowSeconds } from '../core/clock.ts'
import { acrOf } from '../issuer/token-minter.ts'
import type { Session } from '../stores/ports.ts'
import { isKeyId, parseCompactJws } from '../tokens/access-token.ts'
import { type Algorithm, isAlgorithm } from '../tokens/algorithms.ts'
import { type SigningKey, signJwt } from '../tokens/signing.ts'
import { isJsonObject, parseStrictJson } from '../tokens/strict-decoding.ts'
import type { KeySource } from '../verifier/keys/key-source.ts'
import { verifySignature } from '../verifier/signature.ts'

/**
 * The `typ` of an ID token. By default verifiers accept `at+jwt` only, so an ID token is not
 * accepted as an access token.
 */
const idTokenType = 'JWT'
const maxHintBytes = 8192

export interface IdTokensOptions {
  readonly issuer: string
  readonly lifetimeSeconds: number
  readonly signingKey: () => SigningKey
  /** The published keys, to verify ID tokens that clients send back. */
  readonly keys: Pick<KeySource, 'find'>
  readonly clock: Clock
}

/** The claims of an ID token that a client sends back. */
export interface IdTokenHint {
  readonly sub: string
  /** Its `aud`. */
  readonly clientId: string
  readonly sid: string | undefined
}

/** Signs ID tokens (OpenID Connect Core §2), and reads those that clients send back. */
export class IdTokens {
  readonly #options: IdTokensOptions

  constructor(options: IdTokensOptions) {
    this.#options = options
  }

  /**
   * Signs the ID token of a session that has just begun.
   *
   * @param accessToken its first access token
   * @param nonce of the authorization request
   * @throws `keys_unavailable`
   */
  async sign(session: Session, accessToken: string, nonce: string | undefined): Promise<string> {
    const { issuer, lifetimeSeconds, signingKey, clock } = this.#options
    const { sub, clientId, sid, amr, createdAtMs } = session
    const key = signingKey()
    const now = nowSeconds(clock)
    const claims = {
      iss: issuer,
      sub,
      aud: clientId,
      exp: now + lifetimeSeconds,
      iat: now,
      auth_time: Math.floor(createdAtMs / 1000),
      nonce,
      acr: acrOf(amr),
      amr,
      sid,
      at_hash: atHashOf(accessToken, key.alg),
    }
    return signJwt(claims, idTokenType, key)
  }

  /**
   * Reads an ID token that this issuer has signed, however long ago (OpenID Connect RP-Initiated
   * Logout §2). Returns null for any other text, and if the key is not published.
   */
  async readHint(text: string): Promise<IdTokenHint | null> {
    const parts = parseCompactJws(text, maxHintBytes)
    if (parts === null) return null
    const { alg, kid, typ } = parts.header
    if (typ !== idTokenType || !isAlgorithm(alg) || !isKeyId(kid)) return null
    const key = this.#options.keys.find(kid, alg)
    if (typeof key === 'string') return null
    if (!(await verifySignature(parts, key))) return null
    return hintOf(parseStrictJson(parts.payload), this.#options.issuer)
  }
}

function hintOf(claims: unknown, issuer: string): IdTokenHint | null {
  if (!isJsonObject(claims)) return null
  const { iss, sub, aud, sid, auth_time, client_id } = claims
  // An access token has a client_id; by a setting it may have this `typ` too.
  if (iss !== issuer || client_id !== undefined || typeof auth_time !== 'number') return null
  if (typeof sub !== 'string' || typeof aud !== 'string') return null
  return { sub, clientId: aud, sid: typeof sid === 'string' ? sid : undefined }
}

/** OpenID Connect Core §3.1.3.6. No specification names the hash for ML-DSA. */
function atHashOf(accessToken: string, alg: Algorithm): string | undefined {
  if (alg === 'ML-DSA-44') return undefined
  const digest = hash(alg === 'Ed25519' ? 'sha512' : 'sha256', accessToken, 'buffer')
  return digest.subarray(0, digest.length / 2).toString('base64url')
}
