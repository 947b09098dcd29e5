import { type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { type Algorithm, algorithms } from './algorithms.ts'
import { rawFromDer } from './ecdsa.ts'

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
