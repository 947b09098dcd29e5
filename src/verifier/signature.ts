import { createVerify, type KeyObject, verify } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { type Algorithm, algorithms } from '../tokens/algorithms.ts'
import type { SignedText } from '../tokens/compact.ts'
import { derFromRaw } from '../tokens/ecdsa.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'

const verifyInPool = promisify<string | null, Buffer, KeyObject, Buffer, boolean>(verify)

/** RSA verifies faster than a hand-over to the thread pool takes: see docs/verifier.md. */
const fastAlgorithms: ReadonlySet<Algorithm> = new Set(['RS256', 'PS256'])
const hasOneCore = availableParallelism() === 1

/** Verifies a signature: on the thread pool if that is faster, else synchronously. */
export function verifySignature(
  token: SignedText,
  key: VerificationKey,
): boolean | Promise<boolean> {
  if (hasOneCore || fastAlgorithms.has(key.alg)) return verifySignatureSync(token, key)
  if (!isSignatureFor(token, key)) return false
  return verifyInPool(algorithms[key.alg].digest, ...verifyArguments(token, key)).catch(() => false)
}

/** Verifies a signature on the caller's thread. */
export function verifySignatureSync(token: SignedText, key: VerificationKey): boolean {
  if (!isSignatureFor(token, key)) return false
  const [data, keyObject, signature] = verifyArguments(token, key)
  try {
    // Deno and workerd take the options of PS256 from a KeyObject in this class alone.
    if (key.alg === 'PS256') return createVerify('sha256').update(data).verify(keyObject, signature)
    return verify(algorithms[key.alg].digest, data, keyObject, signature)
  } catch {
    return false
  }
}

/** Compares algorithm and length, so that no other signature reaches the crypto library. */
function isSignatureFor({ signature, header }: SignedText, key: VerificationKey): boolean {
  return signature.length === key.signatureBytes && header.alg === key.alg
}

function verifyArguments(
  { signingInput, signature }: SignedText,
  { alg, key }: VerificationKey,
): [data: Buffer, key: KeyObject, signature: Buffer] {
  const encoded = alg === 'ES256' ? derFromRaw(signature) : signature
  return [Buffer.from(signingInput, 'latin1'), key, encoded]
}
