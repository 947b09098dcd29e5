import type { Algorithm } from '../../tokens/algorithms.ts'
import { isJsonObject } from '../../tokens/strict-decoding.ts'
import { importVerificationKey, type VerificationKey } from '../../tokens/verification-key.ts'
import type { KeyLookup } from './key-source.ts'

/** More keys than any rotation needs are a mistake, or an attempt to use up memory. */
const maxKeys = 64

/** A key of a set that cannot be used. `kid` is null if it has no acceptable one. */
export interface RefusedKey {
  readonly kid: string | null
  readonly reason: string
}

/** The keys of one JWK Set (RFC 7517 §5). It never changes: a newer set takes its place whole. */
export interface KeySet {
  readonly keys: readonly VerificationKey[]
  readonly count: number
  readonly refused: readonly RefusedKey[]
  has(kid: string): boolean
  find(kid: string, alg: Algorithm): Exclude<KeyLookup, 'keys_unavailable'>
}

/**
 * Reads a JWK Set. A key that cannot be used is left out and reported, and the others serve.
 *
 * @param previous the set that this one follows: a key that is in both is imported once
 * @throws Error, with a message free of secrets, if it is no such set or no key of it can be used
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

/** Whether two sets hold the same keys, as objects. */
export function haveSameKeys(one: KeySet, other: KeySet): boolean {
  return one.count === other.count && one.keys.every((key) => other.keys.includes(key))
}

function describeEmptySet(refused: readonly RefusedKey[]): string {
  if (refused.length === 0) return 'there are no keys'
  const reasons = refused.map(({ kid, reason }) => `${kid ?? 'a key without kid'}: ${reason}`)
  return `no key can be used: ${reasons.join('; ')}`
}
