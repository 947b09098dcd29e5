import { type KeyObject, verify } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { type Algorithm, algorithms } from '../tokens/algorithms.ts'
import { base64urlLength } from '../tokens/base64url.ts'
import { type SignedText, signatureBytes, signedBytes } from '../tokens/compact.ts'
import { derFromRaw } from '../tokens/ecdsa.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'

const verifyInPool = promisify<string | null, Buffer, KeyObject, Buffer, boolean>(verify)

/** What a thread of the pool does sooner than the hand-over to it pays off: see docs/verifier.md. */
const quick: ReadonlySet<Algorithm> = new Set(['RS256', 'PS256'])
const hasOneCore = availableParallelism() === 1

/** Whether to wait for a thread of the pool would take longer than to check a signature at once. */
export function isQuickToVerify(alg: Algorithm): boolean {
  return hasOneCore || quick.has(alg)
}

/** Whether the signature of a token is by this key; at once, where a promise would cost more. */
export function checkSignature(
  token: SignedText,
  key: VerificationKey,
): boolean | Promise<boolean> {
  return isQuickToVerify(key.alg) ? verifySignatureSync(token, key) : verifySignature(token, key)
}

/** The same, on a thread of the pool. */
export async function verifySignature(token: SignedText, key: VerificationKey): Promise<boolean> {
  if (!mayBeBy(token, key)) return false
  const signed = Buffer.from(token.signingInput, 'latin1')
  const signature = Buffer.from(token.signature, 'base64url')
  try {
    return await verifyInPool(algorithms[key.alg].digest, signed, key.key, opened(signature, key))
  } catch {
    return false
  }
}

/** The same answer at once, on the caller's thread. */
export function verifySignatureSync(token: SignedText, key: VerificationKey): boolean {
  if (!mayBeBy(token, key)) return false
  const signature = opened(signatureBytes(token), key)
  try {
    return verify(algorithms[key.alg].digest, signedBytes(token), key.key, signature)
  } catch {
    return false
  }
}

function mayBeBy({ signature, header }: SignedText, { alg, signatureBytes }: VerificationKey) {
  return signature.length === base64urlLength(signatureBytes) && header.alg === alg
}

function opened(signature: Buffer, { alg }: VerificationKey): Buffer {
  return alg === 'ES256' ? derFromRaw(signature) : signature
}
