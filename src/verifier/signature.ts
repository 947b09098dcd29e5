import { verify } from 'node:crypto'
import { compactVerify } from 'jose'
import { algorithms } from '../tokens/algorithms.ts'
import type { CompactToken } from '../tokens/compact.ts'
import { derFromRaw } from '../tokens/ecdsa.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'

/** Whether the signature of a token is by this key. On a thread of the pool. */
export async function verifySignature(
  token: CompactToken,
  { key, alg, signatureBytes }: VerificationKey,
): Promise<boolean> {
  if (token.signature.length !== signatureBytes) return false
  try {
    await compactVerify(token.text, key, { algorithms: [alg] })
    return true
  } catch {
    return false
  }
}

/** The same answer at once, on the caller's thread. */
export function verifySignatureSync(token: CompactToken, key: VerificationKey): boolean {
  if (token.signature.length !== key.signatureBytes || token.header.alg !== key.alg) return false
  try {
    const signed = Buffer.from(token.signingInput, 'ascii')
    const signature = key.alg === 'ES256' ? derFromRaw(token.signature) : token.signature
    return verify(algorithms[key.alg].digest, signed, key.key, signature)
  } catch {
    return false
  }
}
