import { type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { GatepassError } from '../core/errors.ts'
import { type AccessTokenClaims, accessTokenType } from './access-token.ts'
import { type Algorithm, algorithms } from './algorithms.ts'
import { rawFromDer } from './ecdsa-signature.ts'
import { encryptedTokenBytes, encryptToken } from './encrypted-token.ts'
import type { EncryptionKey } from './encryption-key.ts'
import { base64urlLength } from './strict-decoding.ts'

/** A private key and the one algorithm that it signs with. */
export interface SigningKey {
  readonly kid: string
  readonly alg: Algorithm
  /** Made ready by `readyForJws`. */
  readonly key: KeyObject
}

/** The header of all that we sign: `typ` keeps one kind from passing for another (RFC 8725 §3.11). */
export function jwsHeader({ alg, kid }: SigningKey, typ: string) {
  return { alg, kid, typ }
}

/** The last header of each key, for as long as the key is used: nearly all are of one type. */
const lastHeaders = new WeakMap<SigningKey, { readonly typ: string; readonly encoded: string }>()

/** That header as it is in a JWS. */
export function encodedHeader(signingKey: SigningKey, typ: string): string {
  const last = lastHeaders.get(signingKey)
  if (last?.typ === typ) return last.encoded
  const encoded = Buffer.from(JSON.stringify(jwsHeader(signingKey, typ))).toString('base64url')
  lastHeaders.set(signingKey, { typ, encoded })
  return encoded
}

/**
 * Signs bytes as a compact JWS (RFC 7515 §7.1).
 *
 * By node:crypto and not by jose, whose Web Crypto costs three times the signature itself on a
 * server that has one core: jose makes the keys, and checks in the tests what is signed here.
 */
export async function signCompact(
  payload: Buffer,
  typ: string,
  signingKey: SigningKey,
): Promise<string> {
  const input = `${encodedHeader(signingKey, typ)}.${payload.toString('base64url')}`
  const signature = await signBytes(Buffer.from(input), signingKey)
  return `${input}.${signature.toString('base64url')}`
}

const signInPool = promisify<string | null, Buffer, KeyObject, Buffer>(sign)

/** A signature by an elliptic curve takes less time than a hand-over to a thread; others stall. */
function signBytes(bytes: Buffer, { alg, key }: SigningKey): Buffer | Promise<Buffer> {
  const { digest } = algorithms[alg]
  if (alg === 'ES256') return rawFromDer(sign(digest, bytes, key))
  return alg === 'Ed25519' ? sign(digest, bytes, key) : signInPool(digest, bytes, key)
}

/** Half of the 8 KB that many servers and proxies allow for one header field. As it is sent. */
export const maxAccessTokenBytes = 4096

/** How many claims a refusal names. */
const namedClaims = 3

/**
 * Signs an access token (RFC 9068), and encrypts it where its audience has a key.
 *
 * @throws `token_too_large`, before anything is signed, naming the largest claims but no value
 */
export async function signAccessToken(
  claims: AccessTokenClaims,
  key: SigningKey,
  encryptionKey: EncryptionKey | null = null,
): Promise<string> {
  const payload = Buffer.from(JSON.stringify(claims))
  const signedBytes =
    encodedHeader(key, accessTokenType).length +
    base64urlLength(payload.length) +
    base64urlLength(signatureBytes(key)) +
    2
  const bytes =
    encryptionKey === null ? signedBytes : encryptedTokenBytes(signedBytes, encryptionKey)
  if (bytes > maxAccessTokenBytes) throw tooLarge(bytes, claims)
  const signed = await signCompact(payload, accessTokenType, key)
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
    .slice(0, namedClaims)
    .map((claim) => `${claim.name} (${claim.bytes} bytes)`)
  return new GatepassError('token_too_large', {
    detail:
      `The access token would have ${bytes} bytes; at most ${maxAccessTokenBytes} are allowed. ` +
      `The largest claims: ${largest.join(', ')}.`,
  })
}
