import type { JsonObject } from '../core/json.ts'

/** Someone who can sign in. */
export interface Account {
  /** The user's id, the `sub` of every token. Never changes. */
  readonly sub: string
  /** The name typed at login, normalised. Unique. */
  readonly loginName: string
  /** A PHC string: Argon2id, or an imported bcrypt or scrypt hash until the next login. */
  readonly passwordHash: string
  /** What else is known of the user; scopes choose which of it becomes a claim. */
  readonly attributes: JsonObject
  readonly disabled: boolean
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export interface AccountStore {
  /** Throws `account_exists` when the login name is taken; nothing is written then. */
  create(account: Account): Promise<void>
  /** Creates those whose login name is free, all in one commit; returns the names that were taken. */
  createMany(accounts: readonly Account[]): Promise<string[]>
  findByLoginName(loginName: string): Promise<Account | null>
  findBySub(sub: string): Promise<Account | null>
  /** Replaces the hash, only where it still is `expectedHash` if that is given. Tells whether it did. */
  setPasswordHash(
    sub: string,
    passwordHash: string,
    nowMs: number,
    expectedHash?: string,
  ): Promise<boolean>
  setDisabled(sub: string, disabled: boolean, nowMs: number): Promise<boolean>
  /** By login name, those after `after`, at most `limit`. */
  list(page: { after?: string; limit: number }): Promise<Account[]>
  /** Resolves when the store answers; throws `store_unavailable` when it does not. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** One sign-in on one device. One row, however often it is refreshed (invariant 2). */
export interface Session {
  readonly sid: string
  readonly sub: string
  readonly clientId: string
  readonly scope: string
  readonly amr: readonly string[]
  /** What the device called itself at login, cut to a bounded length; '' when it did not. */
  readonly userAgent: string
  readonly createdAtMs: number
  /** The end that no refresh moves. */
  readonly endsAtMs: number
  /** The end unless it is refreshed before. */
  readonly expiresAtMs: number
  /** How often its refresh token was replaced. */
  readonly generation: number
  /** When the current generation was minted. */
  readonly mintedAtMs: number
  /** Whether a client has presented the current generation. */
  readonly presented: boolean
  /** Digest of the Idempotency-Key of the request that minted the current generation, if it had one. */
  readonly idempotencyKey: Buffer | null
  /** When the request that minted the current generation first came again. */
  readonly firstRetryAtMs: number | null
  /** When it last came again, before a client presented the current generation. */
  readonly lastRetryAtMs: number | null
  /** Digest of the one other key that was answered because of a retry; see `noKey`. */
  readonly otherKey: Buffer | null
  /** The keys that presented the current generation and were answered with it; see `replayKeyBytes`. */
  readonly replayKeys: Buffer | null
  /** When one of those keys first came again after the grace period. */
  readonly lateReplayAtMs: number | null
  readonly revokedAtMs: number | null
  /** The key that it is bound to, as its thumbprint (RFC 7638); null when it is bound to none. */
  readonly jkt: string | null
}

/** `unproven`: the session is bound to a key, of which the request has not shown possession. */
export type RotationOutcome =
  | 'rotated'
  | 'replayed'
  | 'reused'
  | 'revoked'
  | 'expired'
  | 'unknown'
  | 'unproven'

export interface RotationRequest {
  readonly sid: string
  /** The generation of the presented token, whose MAC was found good. */
  readonly generation: number
  /** Digest of the request's Idempotency-Key. */
  readonly idempotencyKey: Buffer | null
  /** The key that the request has shown possession of. */
  readonly jkt: string | null
  readonly nowMs: number
  readonly policy: RotationPolicy
}

export interface RotationPolicy {
  /** The grace period: how long a replaced token still answers. 0 is the strict rule of RFC 9700 §4.14. */
  readonly graceMs: number
  /** A session that is not refreshed for this long ends. */
  readonly idleMs: number
  /** How long a revoked row is kept, so that `revoked` can be told from `unknown`. */
  readonly revokedKeptMs: number
}

export interface RotationResult {
  readonly outcome: RotationOutcome
  /** The session after the rotation; null when it is unknown. */
  readonly session: Session | null
}

/**
 * What verifiers must hear of: access tokens that ended before they expire (invariant 6). Tokens
 * that were signed at `atMs` or before are meant; later ones are not. With a key all are meant.
 *
 * `atMs` is the later of two times: that of the store, so that an entry of an issuer whose clock is
 * behind is not taken for an expired one, and that of the issuer, which has dated the tokens.
 */
export interface Revocation {
  /** Its place in the log. Later entries, of whatever replica, are greater in the store's order. */
  readonly position: string
  readonly kind: 'session' | 'user' | 'all' | 'key'
  /** The `sid`, `sub` or `kid`; '' when it is about everybody. */
  readonly id: string
  readonly atMs: number
}

/** The start of the revocation log. */
export const logStart = ''

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

export interface SessionStore extends OneTimeStore {
  create(session: Session): Promise<void>
  /** Invariant 4: one atomic compare-and-set. Reuse is noted in the revocation log. */
  rotate(request: RotationRequest): Promise<RotationResult>
  /** The session, if it is neither revoked nor expired. */
  find(sid: string, nowMs: number): Promise<Session | null>
  /** The user's live sessions, newest first. */
  listBySub(sub: string, nowMs: number): Promise<Session[]>
  /** Ends one session for good, and notes it in the log. False when there was no live one. */
  revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean>
  /** Ends all sessions of a user, and notes it in the log; returns how many were live. */
  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number>
  /**
   * Ends every session that was created before a time, and gives the ids of those that it ended, a
   * batch at a time. Notes nothing in the log: `revokeEverybody` ends the access tokens.
   */
  endCreatedBefore(beforeMs: number, nowMs: number, keptMs: number): AsyncIterable<string[]>
  /**
   * The entries of the revocation log behind a position, oldest first, at most `limit`. A reader
   * that goes on from the last position it saw misses none. Entries are kept for `keptMs` at least.
   */
  revocationsAfter(position: string, limit: number): Promise<Revocation[]>
  /** Notes in the log that every token signed until now has ended. */
  revokeEverybody(nowMs: number, keptMs: number): Promise<void>
  /** Notes in the log that a signing key is trusted no more. */
  revokeKey(kid: string, nowMs: number, keptMs: number): Promise<void>
  /**
   * Removes some of what has expired (sessions, log entries, one-time values), looking at `limit`
   * rows of each at most. Returns whether there may be more.
   */
  removeExpired(nowMs: number, limit: number): Promise<boolean>
  /** The time by the store's own clock; null for a store on this machine, which has none. */
  clockMs(): Promise<number | null>
  ping(): Promise<void>
  close(): Promise<void>
}
