import type { Algorithm } from '../../tokens/algorithms.ts'
import type { VerificationKey } from '../../tokens/verification-key.ts'
import type { KeySet, RefusedKey } from './key-set.ts'

/** The key that was asked for, or the code of the error to refuse the token with. */
export type KeyLookup =
  | VerificationKey
  | 'token_key_unknown'
  | 'token_algorithm'
  | 'keys_unavailable'

export interface KeySourceStatus {
  /** How many keys can be used. */
  readonly count: number
  /**
   * Where the keys in memory are from: the issuer's address, the file, `jwks` of the options, or a
   * key source of the program's own. Null if there never were any.
   */
  readonly source: 'network' | 'file' | 'fixed' | 'own' | null
  /** Seconds since the keys were loaded; null if they never were, or do not age. */
  readonly age_s: number | null
  /** Seconds until the keys are fetched anew; null if that is not planned. */
  readonly nextRefresh_s: number | null
  /** The keys that were refused when the set was loaded, and why. */
  readonly refused: readonly RefusedKey[]
  /** Why the last attempt to load failed; null if it did not. */
  readonly lastError: string | null
  /** Why `jwksFile` could not be read or written the last time; null if it could, or is not used. */
  readonly fileError: string | null
}

/** Where a verifier has the public keys of its one issuer from. */
export interface KeySource {
  /**
   * Looks a key up by both its id and its algorithm, in memory alone: it is asked at each use of a
   * token. `token_algorithm` is the answer if the id belongs to a key of another algorithm.
   *
   * A key that stays in use must stay the same object: the verifier compares it to the key that a
   * token was verified with, and verifies the token again if they differ.
   */
  find(kid: string, alg: Algorithm): KeyLookup
  /**
   * On a runtime where keys can be fetched within a request alone: fetches them if they are due, and
   * is undefined otherwise. Asked for tokens that are verified. The promise never rejects.
   */
  renew?(): Promise<void> | undefined
  /** Resolves when keys are here; throws `keys_unavailable` if they cannot be had. */
  ready(): Promise<void>
  /**
   * Asks for newer keys on behalf of a token whose `kid` was not found, unless that was done a
   * moment ago. Resolves when the attempt is over, whatever came of it, and never rejects.
   */
  refresh(kid: string): Promise<void>
  /**
   * Asks for newer keys whenever the last attempt was, as when a key was revoked. Resolves when an
   * attempt that began after the call is over, whatever came of it, and never rejects. Nothing that
   * a stranger sends may lead here.
   */
  refreshNow(): Promise<void>
  status(): KeySourceStatus
  /** Stops asking. What is in memory can still be found. */
  close(): Promise<void>
}

/** Keys that were given once and never change. */
export function createFixedKeys(set: KeySet): KeySource {
  return {
    find: set.find,
    ready: async () => {},
    refresh: async () => {},
    refreshNow: async () => {},
    status: () => ({
      count: set.count,
      source: 'fixed',
      age_s: null,
      nextRefresh_s: null,
      refused: set.refused,
      lastError: null,
      fileError: null,
    }),
    close: async () => {},
  }
}
