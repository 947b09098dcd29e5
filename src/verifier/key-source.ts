import type { Algorithm } from '../tokens/algorithms.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import type { RefusedKey } from './key-set.ts'

/** The key that was asked for, or the code of the error to refuse the token with. */
export type KeyLookup =
  | VerificationKey
  | 'token_key_unknown'
  | 'token_algorithm'
  | 'keys_unavailable'

export interface KeySourceStatus {
  /** How many keys can be used. */
  readonly count: number
  /** Seconds since the keys were loaded; null if they never were, or do not age. */
  readonly age_s: number | null
  /** The keys that were refused when the set was loaded, and why. */
  readonly refused: readonly RefusedKey[]
  /** Why the last attempt to load failed; null if it did not. */
  readonly lastError: string | null
}

/** Where a verifier has the public keys of its one issuer from. */
export interface KeySource {
  /**
   * Looks a key up by both its id and its algorithm, in memory alone. `token_algorithm` is the
   * answer if the id belongs to a key of another algorithm.
   */
  find(kid: string, alg: Algorithm): KeyLookup
  /** Resolves when keys are here; throws `keys_unavailable` if they cannot be had. */
  ready(): Promise<void>
  /**
   * Asks for newer keys, unless that was done a moment ago. Resolves when the attempt is over,
   * whatever came of it, and never rejects.
   */
  refresh(): Promise<void>
  status(): KeySourceStatus
  /** Stops asking. What is in memory can still be found. */
  close(): Promise<void>
}
