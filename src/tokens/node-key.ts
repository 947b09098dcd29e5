import { constants, type KeyObject } from 'node:crypto'
import type { Algorithm } from './algorithms.ts'

/** What node:crypto must be told beside the key: PSS with a salt as long as the digest (RFC 7518 §3.5). */
const options = {
  ES256: {},
  Ed25519: {},
  RS256: { padding: constants.RSA_PKCS1_PADDING },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  'ML-DSA-44': {},
} as const satisfies Record<Algorithm, object>

/**
 * Makes a key ready for `sign` and `verify` of node:crypto with one JWS algorithm. The options stand
 * on the key itself, which is an object like any other to Node: given an object around a key,
 * Node 24 throws and catches two errors at each call. ES256 is converted by ecdsa.ts.
 */
export function readyForJws(key: KeyObject, alg: Algorithm): KeyObject {
  return Object.assign(key, options[alg])
}
