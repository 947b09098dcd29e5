import { createVerify, type KeyObject, verify } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { isKeyId, parseCompactJws, type SignedMessage } from '../tokens/access-token.ts'
import { type Algorithm, algorithms, isAlgorithm } from '../tokens/algorithms.ts'
import { derFromRaw } from '../tokens/ecdsa-signature.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import type { KeyLookup, KeySource } from './keys/key-source.ts'

const verifyInPool = promisify<string | null, Buffer, KeyObject, Buffer, boolean>(verify)

/** Verifying RSA takes less time than the transfer to the thread pool: see docs/verifier.md. */
const fastAlgorithms: ReadonlySet<Algorithm> = new Set(['RS256', 'PS256'])
const hasOneCore = availableParallelism() === 1

/** Verifies a signature: on the thread pool if that is faster, else synchronously. */
export function verifySignature(
  message: SignedMessage,
  key: VerificationKey,
): boolean | Promise<boolean> {
  if (hasOneCore || fastAlgorithms.has(key.alg)) return verifySignatureSync(message, key)
  if (!isSignatureFor(message, key)) return false
  const { digest } = algorithms[key.alg]
  return verifyInPool(digest, ...verifyArguments(message, key)).catch(() => false)
}

/** Verifies a signature on the caller's thread. */
export function verifySignatureSync(message: SignedMessage, key: VerificationKey): boolean {
  if (!isSignatureFor(message, key)) return false
  const [data, keyObject, signature] = verifyArguments(message, key)
  try {
    // Deno and workerd take the options of PS256 from a KeyObject in this class alone.
    if (key.alg === 'PS256') return createVerify('sha256').update(data).verify(keyObject, signature)
    return verify(algorithms[key.alg].digest, data, keyObject, signature)
  } catch {
    return false
  }
}

/** Compares algorithm and length, so that no other signature reaches the crypto library. */
function isSignatureFor({ signature, header }: SignedMessage, key: VerificationKey): boolean {
  return signature.length === key.signatureBytes && header.alg === key.alg
}

function verifyArguments(
  { signingInput, signature }: SignedMessage,
  { alg, key }: VerificationKey,
): [data: Buffer, key: KeyObject, signature: Buffer] {
  const encoded = alg === 'ES256' ? derFromRaw(signature) : signature
  return [Buffer.from(signingInput, 'latin1'), key as KeyObject, encoded]
}

/** The issuer whose messages are accepted. */
export interface MessageSigner {
  /** The keys that sign its access tokens. */
  readonly keys: KeySource
  isKeyRevoked(kid: string): boolean
}

/**
 * Verifies a JWS of an issuer that is not an access token, and returns its payload. Waits for newer
 * keys if the key is unknown.
 *
 * @param typ the required `typ`: each kind of message has its own (RFC 8725 §3.11)
 * @throws Error that quotes nothing of the text
 */
export async function verifyIssuerMessage(
  text: string,
  typ: string,
  maxBytes: number,
  { keys, isKeyRevoked }: MessageSigner,
): Promise<Buffer> {
  const jws = parseCompactJws(text, maxBytes)
  if (jws === null) throw new Error(`it is not an acceptable JWS of at most ${maxBytes} bytes`)
  if (jws.header.typ !== typ) throw new Error(`its typ is not ${typ}`)
  const { alg, kid } = jws.header
  if (!isAlgorithm(alg) || !isKeyId(kid)) throw new Error('its alg or kid is not acceptable')
  if (isKeyRevoked(kid)) throw new Error('it is signed by a revoked key')
  let key = keys.find(kid, alg)
  if (key === 'token_key_unknown' || key === 'keys_unavailable') {
    // Bypasses the cooldown: untrusted input does not reach this call, and a failure ends the
    // connection.
    await keys.refreshNow()
    key = keys.find(kid, alg)
  }
  if (typeof key === 'string') throw new Error(describeMissingKey(key))
  if (!(await verifySignature(jws, key))) throw new Error('its signature is not valid')
  // The key may have left the JWKS during these waits.
  const isWithdrawn = isKeyRevoked(kid) || keys.find(kid, alg) !== key
  if (isWithdrawn) throw new Error('it is signed by a key that was withdrawn meanwhile')
  return jws.payload
}

function describeMissingKey(code: Extract<KeyLookup, string>): string {
  if (code === 'keys_unavailable') return 'the keys of the issuer are not available'
  if (code === 'token_algorithm') return 'its algorithm is not that of the key'
  return 'it is signed by an unknown key'
}
