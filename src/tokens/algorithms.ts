import { constants, type KeyObject } from 'node:crypto'

/**
 * The accepted signature algorithms. A key is bound to exactly one of them.
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

/** Options of node:crypto. PSS has a salt as long as the digest (RFC 7518 §3.5). */
const cryptoOptions = {
  ES256: {},
  Ed25519: {},
  RS256: { padding: constants.RSA_PKCS1_PADDING },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  'ML-DSA-44': {},
} as const satisfies Record<Algorithm, object>

/**
 * Adds the options that `sign` and `verify` of node:crypto need for a JWS algorithm to the key
 * object itself. An object that wraps the key would be slower: Node 24 throws and catches two
 * errors at each call.
 * @internal
 */
export function addJwsOptions(key: KeyObject, alg: Algorithm): KeyObject {
  return Object.assign(key, cryptoOptions[alg])
}
