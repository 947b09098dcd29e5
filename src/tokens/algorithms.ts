import { constants, type KeyObject } from 'node:crypto'

const pkcs1 = { padding: constants.RSA_PKCS1_PADDING }
/** The salt is as long as the digest (RFC 7518 §3.5). */
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }

/**
 * The accepted signature algorithms, each with its options of node:crypto. A key is bound to exactly one
 * of them.
 *
 * Names are those of RFC 7518 §3.1, RFC 9864 (`Ed25519`) and RFC 9964 (`ML-DSA-44`).
 */
export const algorithms = {
  ES256: { kty: 'EC', crv: 'P-256', signatureBytes: 64, digest: 'sha256', options: {} },
  Ed25519: { kty: 'OKP', crv: 'Ed25519', signatureBytes: 64, digest: null, options: {} },
  RS256: { kty: 'RSA', crv: null, signatureBytes: null, digest: 'sha256', options: pkcs1 },
  PS256: { kty: 'RSA', crv: null, signatureBytes: null, digest: 'sha256', options: pss },
  'ML-DSA-44': { kty: 'AKP', crv: null, signatureBytes: 2420, digest: null, options: {} },
} as const

export type Algorithm = keyof typeof algorithms

export const algorithmNames = Object.keys(algorithms) as [Algorithm, ...Algorithm[]]

export function isAlgorithm(name: unknown): name is Algorithm {
  return typeof name === 'string' && Object.hasOwn(algorithms, name)
}

/**
 * Adds the options that `sign` and `verify` of node:crypto need for a JWS algorithm to the key
 * object itself. An object that wraps the key would be slower: Node 24 throws and catches two
 * errors at each call.
 * @internal
 */
export function addJwsOptions(key: KeyObject, alg: Algorithm): KeyObject {
  return Object.assign(key, algorithms[alg].options)
}
