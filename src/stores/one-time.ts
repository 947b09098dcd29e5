/**
 * Authorization codes, challenges and the `jti`s of client assertions: each works once, whatever
 * replicas receive its copies.
 *
 * Ids are opaque and stored as given: hash a secret first. Callers limit how many they store and how
 * large payloads are; the store removes what has expired. Every call throws `store_unavailable`.
 */
export interface OneTimeStore {
  /** Stores a payload under a new random id until `expiresAtMs`. */
  putOneTime(id: string, payload: string, expiresAtMs: number): Promise<void>
  /** Returns the payload if nobody has taken it; null if it is taken, expired or unknown. */
  findOneTime(id: string, nowMs: number): Promise<string | null>
  /**
   * Takes a payload, in one atomic step. The first use wins, and each later use learns who was first.
   *
   * To exchange an authorization code, create the session, then take the code by its `sid`, then hand
   * out tokens. A second use then finds a session to end (RFC 6749 §4.1.2), even while the first runs.
   *
   * @param takenBy identifies this use, and is not empty. The same value again is the same use.
   */
  takeOneTime(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse>
  /** Returns true to the first caller with an id, and false to all others until `expiresAtMs`. */
  claimOnce(id: string, expiresAtMs: number): Promise<boolean>
}

/** `unknown`: never stored, or expired. */
export type OneTimeUse =
  | { readonly state: 'first'; readonly payload: string }
  | { readonly state: 'used'; readonly payload: string; readonly takenBy: string }
  | { readonly state: 'unknown' }

/** A stored payload, and the first use of it. */
export interface OneTimeRow {
  readonly payload: string
  readonly taken_by: string | null
}

/** @param row the row after the use; undefined if there is none */
export function toOneTimeUse(row: OneTimeRow | undefined, takenBy: string): OneTimeUse {
  if (row === undefined) return { state: 'unknown' }
  const { payload, taken_by: first } = row
  if (first === null || first === takenBy) return { state: 'first', payload }
  return { state: 'used', payload, takenBy: first }
}
