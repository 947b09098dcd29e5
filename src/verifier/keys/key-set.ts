import type { Algorithm } from '../../tokens/algorithms.ts'
import { isJsonObject } from '../../tokens/strict-decoding.ts'
import { importVerificationKey, type VerificationKey } from '../../tokens/verification-key.ts'
import type { KeyLookup } from './key-source.ts'

/** Longest JWK Set, in bytes: 64 RSA keys fit, or 30 ML-DSA-44 keys. */
export const maxKeySetBytes = 64 * 1024
/** Bounds memory. No rotation needs as many keys. */
const maxKeys = 64

/** A key of a set that cannot be used. `kid` is null if the key has no acceptable `kid`. */
export interface RefusedKey {
  readonly kid: string | null
  readonly reason: string
}

/** The usable keys of one JWK Set (RFC 7517 §5). Immutable: a newer set replaces it whole. */
export interface KeySet {
  readonly keys: readonly VerificationKey[]
  readonly count: number
  readonly refused: readonly RefusedKey[]
  has(kid: string): boolean
  find(kid: string, alg: Algorithm): Exclude<KeyLookup, 'keys_unavailable'>
}

/**
 * Reads a JWK Set. Unusable keys are left out and listed in `refused`.
 *
 * @param previous the set that this set replaces; a key that is in both sets stays the same object
 * @throws Error if the value is not a JWK Set or has no usable key; the message quotes no value
 */
export function readKeySet(jwks: unknown, previous: KeySet | null = null): KeySet {
  if (!isJsonObject(jwks) || !Array.isArray(jwks.keys)) throw new Error('there is no array of keys')
  if (jwks.keys.length > maxKeys) throw new Error(`there are more than ${maxKeys} keys`)

  const byId = new Map<string, VerificationKey[]>()
  const refused: RefusedKey[] = []
  for (const jwk of jwks.keys as readonly unknown[]) {
    const imported = importVerificationKey(jwk, previous?.keys)
    if (!imported.ok) {
      refused.push({ kid: imported.kid, reason: imported.reason })
      continue
    }
    const { key } = imported
    const sameId = byId.get(key.kid) ?? []
    if (sameId.some((other) => other.alg === key.alg)) {
      refused.push({ kid: key.kid, reason: 'another key has its kid and alg' })
      continue
    }
    byId.set(key.kid, [...sameId, key])
  }
  const keys = [...byId.values()].flat()
  if (keys.length === 0) throw new Error(describeEmptySet(refused))

  return {
    keys,
    count: keys.length,
    refused,
    has: (kid) => byId.has(kid),
    find(kid, alg) {
      const sameId = byId.get(kid)
      if (sameId === undefined) return 'token_key_unknown'
      return sameId.find((key) => key.alg === alg) ?? 'token_algorithm'
    },
  }
}

/** Tells whether two sets have the same key objects. */
export function haveSameKeys(one: KeySet, other: KeySet): boolean {
  return one.count === other.count && one.keys.every((key) => other.keys.includes(key))
}

function describeEmptySet(refused: readonly RefusedKey[]): string {
  if (refused.length === 0) return 'there are no keys'
  const reasons = refused.map(({ kid, reason }) => `${kid ?? 'a key without kid'}: ${reason}`)
  return `no key can be used: ${reasons.join('; ')}`
}
