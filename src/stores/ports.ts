import type { JsonObject } from '../core/json.ts'
import type { RevokedSubject } from '../tokens/revocation-tokens.ts'

/** The form of a `sub` (OpenID Connect Core §2), which travels in a header and a claim. */
export const subPattern = /^[\x21-\x7e]{1,255}$/

/** A user. */
export interface Account {
  /** The id of the user and `sub` of every token. Never changes. */
  readonly sub: string
  /** The normalized name for the login. Unique. */
  readonly loginName: string
  /** A PHC string: Argon2id, or an imported bcrypt or scrypt hash until the next login. */
  readonly passwordHash: string
  /** Further data about the user. Scopes select what becomes a claim. */
  readonly attributes: JsonObject
  readonly disabled: boolean
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/**
 * The accounts of all users. Promises: login names are unique, also for concurrent calls, and an
 * acknowledged change is visible to the next call of every replica.
 *
 * Every call throws `store_unavailable` if the store does not respond within its deadline.
 */
export interface AccountStore {
  /** Adds the accounts whose login name and `sub` are free, in one transaction. Returns the names of the others. */
  create(accounts: readonly Account[]): Promise<string[]>
  findByLoginName(loginName: string): Promise<Account | null>
  findBySub(sub: string): Promise<Account | null>
  /**
   * Replaces the password hash. Returns whether there was such an account.
   * @param expectedHash the hash to replace; any other hash stays
   */
  setPasswordHash(
    sub: string,
    passwordHash: string,
    nowMs: number,
    expectedHash?: string,
  ): Promise<boolean>
  /** Returns whether there is such an account. */
  setDisabled(sub: string, disabled: boolean, nowMs: number): Promise<boolean>
  /** Returns a page of accounts, ordered by login name: at most `limit` after the name `after`. */
  list(page: { after?: string; limit: number }): Promise<Account[]>
  /** Resolves if the store responds. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** One sign-in on one device: one row, however often it is refreshed (invariant 2). */
export interface Session {
  readonly sid: string
  readonly sub: string
  readonly clientId: string
  readonly scope: string
  readonly amr: readonly string[]
  /** The User-Agent of the login, cut to a bounded length; '' if there was none. */
  readonly userAgent: string
  readonly createdAtMs: number
  /** The absolute end, which no refresh extends. */
  readonly endsAtMs: number
  /** The end unless a refresh extends it. */
  readonly expiresAtMs: number
  /** How often the refresh token was replaced. */
  readonly generation: number
  /** When the current generation was minted. */
  readonly mintedAtMs: number
  /** Whether a client has presented the current generation. */
  readonly presented: boolean
  /** Digest of the Idempotency-Key of the request that minted the current generation, if it had one. */
  readonly idempotencyKey: Buffer | null
  /** When that request was first repeated. */
  readonly firstRetryAtMs: number | null
  /** When that request was last repeated before a client presented the current generation. */
  readonly lastRetryAtMs: number | null
  /** Digest of the one other key that was accepted because of a retry; see `noKey`. */
  readonly otherKey: Buffer | null
  /** Starts of the digests of keys that replayed the current generation; see `replayKeyBytes`. */
  readonly replayKeys: Buffer | null
  /** When one of these keys was first repeated after the grace period. */
  readonly lateReplayAtMs: number | null
  readonly revokedAtMs: number | null
  /** Thumbprint (RFC 7638) of the key that the session is bound to; null if it is not bound. */
  readonly jkt: string | null
}

/** The outcomes of invariant 4. `unproven`: the session is bound to a key that the request did not prove. */
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
  /** The generation of the presented token. The caller has checked its MAC. */
  readonly generation: number
  /** Digest of the Idempotency-Key of the request. */
  readonly idempotencyKey: Buffer | null
  /** Thumbprint of the key that the request has proven. */
  readonly jkt: string | null
  /** The session, if `find` has just returned it. Saves a read unless it has changed since. */
  readonly found?: Session | null
  readonly nowMs: number
  readonly policy: RotationPolicy
}

export interface RotationPolicy {
  /** The grace period. 0 is the strict rule of RFC 9700 §4.14. */
  readonly graceMs: number
  /** A session ends when it is not refreshed for this long. */
  readonly idleMs: number
  /** How long the row of a revoked session is kept, so that it is `revoked` and not `unknown`. */
  readonly revokedKeptMs: number
}

export interface RotationResult {
  readonly outcome: RotationOutcome
  /** The session after the rotation; null if it is unknown. */
  readonly session: Session | null
}

/**
 * An entry of the revocation log (invariant 6). It applies to tokens signed at or before `atMs`, for a key to
 * all its tokens. `atMs` is the later of two clocks: the issuer's, which dates tokens, and the store's. So
 * the entry of an issuer whose clock is behind does not expire too early.
 */
export interface Revocation extends RevokedSubject {
  /** The place in the log. Opaque; later entries, of any replica, have later positions. */
  readonly position: string
  readonly atMs: number
  /** When every token that it applies to has expired, by any clock. */
  readonly expiresAtMs: number
}

/**
 * How long an expired entry stays in the log: time to delete the data of a session and to notify its
 * client, also after an outage.
 */
export const followUpMs = 3_600_000

/**
 * How much later than its expiry a one-time value is removed, and a session from Redis. By then it has
 * expired by the clocks of all replicas: none accepts a second claim of an id.
 */
export const expiryMarginMs = 60_000

/** The position before the first entry of the revocation log. */
export const logStart = ''

/**
 * Authorization codes, pushed requests, consents, the clients to notify and the `jti`s of client assertions,
 * for all replicas together. Ids are opaque and stored as given: hash a secret first. The store removes what
 * has expired. Every call throws `store_unavailable`.
 */
export interface OneTimeStore {
  /** Stores a payload until `expiresAtMs`. An id that exists keeps its payload. */
  putOneTime(id: string, payload: string, expiresAtMs: number): Promise<void>
  /** Returns the payload if nobody has taken it; null if it is taken, expired or unknown. */
  findOneTime(id: string, nowMs: number): Promise<string | null>
  /**
   * Takes a payload, in one atomic step. The first use wins, and each later use learns who was first.
   *
   * To exchange an authorization code, create the session, then take the code by its `sid`, then hand
   * out tokens. A second use then finds a session to end (RFC 6749 §4.1.2), even while the first runs.
   *
   * @param takenBy identifies this use, and is not empty. A repeated call with this value counts as
   *   one use.
   */
  takeOneTime(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse>
  /** Deletes a payload, so that its id can be used again. An unknown id is not an error. */
  deleteOneTime(id: string): Promise<void>
  /**
   * Returns true to the first caller with an id, and false to all others until `expiresAtMs`, by the
   * clock of any replica within a minute of the others.
   */
  claimOnce(id: string, expiresAtMs: number): Promise<boolean>
}

/** `unknown`: never stored, or expired. */
export type OneTimeUse =
  | { readonly state: 'first'; readonly payload: string }
  | { readonly state: 'used'; readonly payload: string; readonly takenBy: string }
  | { readonly state: 'unknown' }

/**
 * Sessions, and the log of revocations. A rotation is one atomic compare-and-set over all replicas
 * (invariant 4). Every call throws `store_unavailable` if the store does not respond within its
 * deadline; the change may then have happened. docs/stores.md lists the losses of a fail-over.
 */
export interface SessionStore extends OneTimeStore {
  /** Stores a session. Returns how many live sessions its user has at most, this one included. */
  create(session: Session): Promise<number>
  /** Presents a refresh token. Reuse revokes the session and appends to the log. */
  rotate(request: RotationRequest): Promise<RotationResult>
  /** Returns a live session: neither revoked nor expired. */
  find(sid: string, nowMs: number): Promise<Session | null>
  /** Returns the live sessions of a user, newest first. */
  listBySub(sub: string, nowMs: number): Promise<Session[]>
  /**
   * Revokes a session and appends to the log. Returns false if there was no live session. A failed
   * call does none or both, or the next call completes it. A revoked session never lives again.
   *
   * @param keptMs how long the row is kept, and when the log entry expires
   */
  revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean>
  /** Revokes all sessions of a user and appends to the log. Returns how many were live. */
  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number>
  /**
   * Revokes every session created before a time, and yields the ids of those that were live, a batch at a
   * time. Appends nothing to the log: an entry of the kind `all` ends the access tokens.
   */
  endCreatedBefore(beforeMs: number, nowMs: number, keptMs: number): AsyncIterable<string[]>
  /**
   * Returns entries of the log after a position, oldest first, at most `limit`. A reader that continues
   * from the last position it saw misses none within `followUpMs` of its expiry.
   */
  revocationsAfter(position: string, limit: number): Promise<Revocation[]>
  /**
   * Appends an entry to the log: a revoked signing key, all tokens signed so far, or a session that
   * `endCreatedBefore` has ended.
   */
  appendRevocation(
    kind: Revocation['kind'],
    id: string,
    nowMs: number,
    keptMs: number,
  ): Promise<void>
  /**
   * Removes some of what has expired (sessions, log entries, one-time values), looking at `limit` rows of
   * each at most. Returns whether there may be more.
   */
  removeExpired(nowMs: number, limit: number): Promise<boolean>
  /** Returns the time by the clock of the store; null for a store that uses the clock of this machine. */
  clockMs(): Promise<number | null>
  /** Resolves if the store responds. */
  ping(): Promise<void>
  close(): Promise<void>
}
