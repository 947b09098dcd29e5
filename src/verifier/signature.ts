import { type KeyObject, verify } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { type Algorithm, algorithms } from '../tokens/algorithms.ts'
import type { CompactToken } from '../tokens/compact.ts'
import { derFromRaw } from '../tokens/ecdsa.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'

const verifyInPool = promisify<string | null, Buffer, KeyObject, Buffer, boolean>(verify)

/** What a thread of the pool does sooner than the hand-over to it pays off: see docs/verifier.md. */
const quick: ReadonlySet<Algorithm> = new Set(['RS256', 'PS256'])
const hasOneCore = availableParallelism() === 1

/** Whether the signature of a token is by this key; at once, where a promise would cost more. */
export function checkSignature(
  token: CompactToken,
  key: VerificationKey,
): boolean | Promise<boolean> {
  return hasOneCore || quick.has(key.alg)
    ? verifySignatureSync(token, key)
    : verifySignature(token, key)
}

/** The same, on a thread of the pool. */
export async function verifySignature(token: CompactToken, key: VerificationKey): Promise<boolean> {
  if (!mayBeBy(token, key)) return false
  try {
    return await verifyInPool(
      algorithms[key.alg].digest,
      signed(token),
      key.key,
      opened(token, key),
    )
  } catch {
    return false
  }
}

/** The same answer at once, on the caller's thread. */
export function verifySignatureSync(token: CompactToken, key: VerificationKey): boolean {
  if (!mayBeBy(token, key)) return false
  try {
    return verify(algorithms[key.alg].digest, signed(token), key.key, opened(token, key))
  } catch {
    return false
  }
}

function mayBeBy(token: CompactToken, key: VerificationKey): boolean {
  return token.signature.length === key.signatureBytes && token.header.alg === key.alg
}

function signed(token: CompactToken): Buffer {
  return Buffer.from(token.signingInput, 'latin1')
}

function opened({ signature }: CompactToken, { alg }: VerificationKey): Buffer {
  return alg === 'ES256' ? derFromRaw(signature) : signature
}
