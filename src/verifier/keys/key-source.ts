import type { Algorithm } from '../../tokens/algorithms.ts'
import type { VerificationKey } from '../../tokens/verification-key.ts'
import type { KeySet, RefusedKey } from './key-set.ts'

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
      const { count, refused } = current()
      return {
        ...{ count, source, refused },
        ...{ ageSeconds: null, nextRefreshSeconds: null, lastError: null, fileError: null },
      }
    },
    close: async () => {},
  }
}
