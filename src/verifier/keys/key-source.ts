import type { Algorithm } from '../../tokens/algorithms.ts'
import { isJsonObject } from '../../tokens/strict-decoding.ts'
import { importVerificationKey, type VerificationKey } from '../../tokens/verification-key.ts'

/** The key, or the error code for a token that names it. */
export type KeyLookup =
  | VerificationKey
  | 'token_key_unknown'
  | 'token_algorithm'
  | 'keys_unavailable'

export interface KeySourceStatus {
  /** Number of usable keys. */
  readonly count: number
  /**
   * Where the keys were loaded from: the issuer, `jwksFile`, the option `jwks`, or a key source of the
   * application. Null before the first keys.
   */
  readonly source: 'network' | 'file' | 'fixed' | 'own' | null
  /** Seconds since the issuer confirmed the keys; null before the first keys, and for fixed keys. */
  readonly ageSeconds: number | null
  /** Seconds until the next planned fetch; null if none is planned. */
  readonly nextRefreshSeconds: number | null
  /** Keys of the set that cannot be used, and why. */
  readonly refused: readonly RefusedKey[]
  /** Why the last fetch failed; null if it succeeded. */
  readonly lastError: string | null
  /** Why `jwksFile` could not be read or written; null if it could, or is not set. */
  readonly fileError: string | null
}

/** The public keys of one issuer. */
export interface KeySource {
  /**
   * Finds a key in memory at each use of a token. Returns `token_algorithm` if the id belongs to a key of
   * another algorithm. A key must stay the same object while it is in use: a cached token is verified again
   * if `find` returns a different object.
   */
  find(kid: string, alg: Algorithm): KeyLookup
  /**
   * Fetches keys that are due, on a runtime where only a request can fetch; undefined if none are due.
   * Called for each verified token. The promise never rejects.
   */
  renew?(): Promise<void> | undefined
  /**
   * Resolves when keys are loaded.
   *
   * @throws `keys_unavailable` if no keys can be loaded
   */
  ready(): Promise<void>
  /**
   * Fetches newer keys for a token whose `kid` is unknown, unless a cooldown forbids it. Resolves
   * after the attempt, and never rejects.
   */
  refresh(kid: string): Promise<void>
  /**
   * Fetches newer keys regardless of cooldowns, for example after a key was revoked. Resolves after an
   * attempt that began after the call, and never rejects. Must not be reachable by untrusted input.
   */
  refreshNow(): Promise<void>
  /** The `keys` of `verifier.status()`. */
  status(): KeySourceStatus
  /** Stops fetching keys; `find` still works. */
  close(): Promise<void>
}

/** Creates a key source from a set that never changes. */
export function createFixedKeys(set: KeySet): KeySource {
  return createKeysInMemory('fixed', () => set)
}

/**
 * Creates a key source that fetches nothing.
 *
 * @param current returns the keys, at each use of a token
 */
export function createKeysInMemory(source: 'fixed' | 'own', current: () => KeySet): KeySource {
  return {
    find: (kid, alg) => current().find(kid, alg),
    ready: async () => {},
    refresh: async () => {},
    refreshNow: async () => {},
    status() {
      const { keys, refused } = current()
      return {
        count: keys.length,
        source,
        refused,
        ageSeconds: null,
        nextRefreshSeconds: null,
        lastError: null,
        fileError: null,
      }
    },
    close: async () => {},
  }
}

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
  return one.keys.length === other.keys.length && one.keys.every((key) => other.keys.includes(key))
}

function describeEmptySet(refused: readonly RefusedKey[]): string {
  if (refused.length === 0) return 'there are no keys'
  const reasons = refused.map(({ kid, reason }) => `${kid ?? 'a key without kid'}: ${reason}`)
  return `no key can be used: ${reasons.join('; ')}`
}
