/**
 * The signature algorithms we sign and verify with. A key is bound to exactly one of them.
 *
 * Names are those of RFC 7518 §3.1, RFC 9864 (`Ed25519`) and RFC 9964 (`ML-DSA-44`).
 */
export const algorithms = {
  ES256: { kty: 'EC', crv: 'P-256', signatureBytes: 64, digest: 'sha256' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519', signatureBytes: 64, digest: null },
  RS256: { kty: 'RSA', crv: null, signatureBytes: null, digest: 'sha256' },
  PS256: { kty: 'RSA', crv: null, signatureBytes: null, digest: 'sha256' },
  'ML-DSA-44': { kty: 'AKP', crv: null, signatureBytes: 2420, digest: null },
} as const

export type Algorithm = keyof typeof algorithms

export const algorithmNames = Object.keys(algorithms) as [Algorithm, ...Algorithm[]]

export function isAlgorithm(name: unknown): name is Algorithm {
  return typeof name === 'string' && Object.hasOwn(algorithms, name)
}
