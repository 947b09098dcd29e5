import { constants, type VerifyKeyObjectInput, verify } from 'node:crypto'
import { compactVerify } from 'jose'
import { algorithms } from '../tokens/algorithms.ts'
import type { CompactToken } from '../tokens/compact.ts'
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
    return verify(algorithms[key.alg].digest, signed, keyInput(key), token.signature)
  } catch {
    return false
  }
}

/** RFC 7518 §3.4: an ECDSA signature is r and s side by side. §3.5: the salt is as long as the hash. */
function keyInput({ key, alg }: VerificationKey): VerifyKeyObjectInput {
  if (alg === 'ES256') return { key, dsaEncoding: 'ieee-p1363' }
  if (alg !== 'PS256') return { key }
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
}
