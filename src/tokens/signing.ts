import { type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { GatepassError } from '../core/errors.ts'
import { LruCache } from '../core/lru-cache.ts'
import { type AccessTokenClaims, accessTokenType, type TokenType } from './access-token.ts'
import { type Algorithm, algorithms } from './algorithms.ts'
import { rawFromDer } from './ecdsa-signature.ts'
import { encryptedTokenBytes, encryptToken } from './encrypted-token.ts'
import type { EncryptionKey } from './encryption-key.ts'
import { base64urlLength } from './strict-decoding.ts'

/** A private key, bound to the one algorithm it signs with. */
export interface SigningKey {
  readonly kid: string
  readonly alg: Algorithm
  /** Has the options of `addJwsOptions`. */
  readonly key: KeyObject
}

/** Encoded headers by their members. The keys in use have few. */
const headers = new LruCache<string>(64)

/** Encodes a JWS header. Each kind of token has its own `typ` (RFC 8725 §3.11). */
function encodeHeader({ alg, kid }: SigningKey, typ: string): string {
  return headers.getOrAdd(`${alg} ${typ} ${kid}`, () =>
    Buffer.from(JSON.stringify({ alg, kid, typ })).toString('base64url'),
  )
}

/**
 * Signs claims as a JWT (RFC 7519), in JWS Compact Serialization (RFC 7515 §7.1).
 *
 * Uses node:crypto: on one core, the Web Crypto calls of jose take three times as long as the
 * signature itself. The tests verify the result with jose.
 */
export function signJwt(claims: object, typ: string, signingKey: SigningKey): Promise<string> {
  const payload = Buffer.from(JSON.stringify(claims))
  return signWithHeader(encodeHeader(signingKey, typ), payload, signingKey)
}

async function signWithHeader(
  header: string,
  payload: Buffer,
  signingKey: SigningKey,
): Promise<string> {
  const input = `${header}.${payload.toString('base64url')}`
  const signature = await signBytes(Buffer.from(input), signingKey)
  return `${input}.${signature.toString('base64url')}`
}

const signInPool = promisify<string | null, Buffer, KeyObject, Buffer>(sign)

/** An elliptic curve signs faster than a hand-over to the thread pool; RSA and ML-DSA would block. */
function signBytes(bytes: Buffer, { alg, key }: SigningKey): Buffer | Promise<Buffer> {
  const { digest } = algorithms[alg]
  if (alg === 'ES256') return rawFromDer(sign(digest, bytes, key))
  return alg === 'Ed25519' ? sign(digest, bytes, key) : signInPool(digest, bytes, key)
}

/** Size limit of an access token: half of the 8 KB that many servers allow for one header field. */
export const maxAccessTokenBytes = 4096

/** Claims that a `token_too_large` error names. */
const maxNamedClaims = 3

/**
 * Signs an access token (RFC 9068), and encrypts it if its audience has an encryption key.
 *
 * @throws `token_too_large` before signing; names the largest claims, without their values
 */
export async function signAccessToken(
  claims: AccessTokenClaims,
  key: SigningKey,
  encryptionKey: EncryptionKey | null = null,
  type: TokenType = accessTokenType,
): Promise<string> {
  const header = encodeHeader(key, type)
  const payload = Buffer.from(JSON.stringify(claims))
  const signedBytes =
    header.length + base64urlLength(payload.length) + base64urlLength(signatureBytes(key)) + 2
  const bytes =
    encryptionKey === null ? signedBytes : encryptedTokenBytes(signedBytes, encryptionKey)
  if (bytes > maxAccessTokenBytes) throw tooLarge(bytes, claims)
  const signed = await signWithHeader(header, payload, key)
  return encryptionKey === null ? signed : encryptToken(signed, encryptionKey)
}

function signatureBytes({ alg, key }: SigningKey): number {
  const fixed = algorithms[alg].signatureBytes
  if (fixed !== null) return fixed
  // An RSA signature is as long as the modulus (RFC 8017 §8).
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

function tooLarge(bytes: number, claims: AccessTokenClaims): GatepassError {
  const largest = Object.entries(claims)
    .map(([name, value]) => ({ name, bytes: Buffer.byteLength(JSON.stringify(value) ?? '') }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, maxNamedClaims)
    .map((claim) => `${claim.name} (${claim.bytes} bytes)`)
  return new GatepassError('token_too_large', {
    detail:
      `The access token would have ${bytes} bytes; at most ${maxAccessTokenBytes} are allowed. ` +
      `The largest claims: ${largest.join(', ')}.`,
  })
}
