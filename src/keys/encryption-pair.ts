import { calculateJwkThumbprint, type JWK } from 'jose'
import { type EncryptionCurve, keyAgreement, makeKeyPair } from '../tokens/encryption-key.ts'

/** A new key pair of an audience, as JWKs that say what they are for. */
export interface EncryptionPair {
  readonly publicJwk: JWK
  readonly privateJwk: JWK
}

/** Makes the key pair that an audience has its tokens encrypted for; `kid` is its RFC 7638 thumbprint. */
export async function makeEncryptionPair(crv: EncryptionCurve): Promise<EncryptionPair> {
  const { publicKey, privateKey } = makeKeyPair(crv)
  const jwk = publicKey.export({ format: 'jwk' }) as JWK
  const kid = await calculateJwkThumbprint(jwk)
  const named = (own: object) => ({ ...own, kid, use: 'enc', alg: keyAgreement }) as JWK
  return { publicJwk: named(jwk), privateJwk: named(privateKey.export({ format: 'jwk' })) }
}
