/** Whose data it is: a session's, which ends with it, or a user's, which outlives it. */
export interface DataOwner {
  readonly scope: 'session' | 'user'
  /** The `sid` or the `sub`. */
  readonly id: string
}

/** One field as it is kept. A store knows nothing of what the bytes mean. */
export interface StoredField {
  readonly value: Buffer
  /** Changes with each write and never comes back, so that it names this value alone. */
  readonly version: string
}

/** What a field must be for a change to happen: a version; null, absent; undefined, anything. */
export type Expected = string | null | undefined

export interface DataWrite {
  readonly owner: DataOwner
  readonly field: string
  readonly value: Buffer
  /** The version that it will have: made by the writer, never used before. */
  readonly version: string
  readonly expected?: Expected
  /** A field more than so many is refused. */
  readonly fieldsMax: number
  /** When all of the owner's data goes, unless a later write or touch says a later instant. */
  readonly expiresAtMs: number
  readonly nowMs: number
}

/**
 * `conflict`: the field is not as expected. `full`: it would be one too many. `ended`: the owner was
 * ended, and nothing may bring its data back.
 */
export type WriteOutcome = 'written' | 'conflict' | 'full' | 'ended'

export interface DataRemoval {
  readonly owner: DataOwner
  readonly field: string
  readonly expected?: Expected
  readonly nowMs: number
}

/** `absent`: there was no such field, and none was expected. */
export type RemovalOutcome = 'removed' | 'absent' | 'conflict' | 'ended'

/** What a store can and cannot promise; the contract suite and the documentation go by it. */
export interface DataPromises {
  /** A write that was acknowledged survives a restart of the store. */
  readonly durable: boolean
  /** The store never drops a field by itself before it expires, to make room for instance. */
  readonly keepsAll: boolean
}

/** Fields of sessions and users, each changed by compare-and-set, all gone at a stated time. */
export interface DataStore {
  readonly promises: DataPromises
  /** It leaves alone those of its nodes that do not answer, each by itself: nobody else need. */
  readonly guardsItself?: true
  /** The fields of these names that are there, or all fields; one round trip. */
  read(
    owner: DataOwner,
    fields: readonly string[] | 'all',
    nowMs: number,
  ): Promise<ReadonlyMap<string, StoredField>>
  /** One atomic compare-and-set. */
  write(write: DataWrite): Promise<WriteOutcome>
  /** One atomic compare-and-delete. */
  remove(removal: DataRemoval): Promise<RemovalOutcome>
  /** Puts off the expiry of all of the owner's data; never brings it forward. */
  touch(owner: DataOwner, expiresAtMs: number, nowMs: number): Promise<void>
  /**
   * Removes all of the owner's data, at once and for good: until `untilMs` every write is refused as
   * `ended`. With an `untilMs` that is over, the data goes and new may come.
   */
  end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void>
  /**
   * Removes some of what has expired, at most `limit` rows; call again while it is true. A store that
   * does so by itself has nothing to do.
   */
  removeExpired(nowMs: number, limit: number): Promise<boolean>
  /** Resolves when the store answers; throws `store_unavailable` when it does not. */
  ping(): Promise<void>
  close(): Promise<void>
}
