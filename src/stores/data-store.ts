import { digest } from '../core/secrets.ts'

/** The owner of data: a session, whose data ends with it, or a user, whose data outlives sessions. */
export interface DataOwner {
  readonly scope: 'session' | 'user'
  /** See `dataOwner`. */
  readonly id: string
}

/** 192 bits: no two owners share an id. */
const ownerIdLength = 32

/**
 * Returns the owner of the data of a session or user. Its id is a digest of issuer and id. Ids of two
 * issuers cannot collide, every id fits into the keys of every store, and the store does not learn who
 * the users are.
 *
 * @param issuer the `iss`
 * @param id the `sid` or the `sub`; two parts for a service
 */
export function dataOwner(scope: DataOwner['scope'], issuer: string, ...id: string[]): DataOwner {
  const bytes = digest(JSON.stringify([issuer, ...id]))
  return { scope, id: bytes.toString('base64url').slice(0, ownerIdLength) }
}

/** A stored field. The bytes are opaque to the store. */
export interface StoredField {
  readonly value: Buffer
  /** Changes with each write and is never reused, so that it identifies this value. */
  readonly version: string
}

/** The precondition that a field is present, in any version. */
export const anyVersion = Symbol('any version')

/** The precondition of a change: a version, or any; null, the field is absent; undefined, none. */
export type Expected = string | typeof anyVersion | null | undefined

/** @param version of the field, or null if it is absent */
export function isExpected(version: string | null, expected: Expected): boolean {
  if (expected === anyVersion) return version !== null
  return expected === undefined || version === expected
}

export interface DataWrite {
  readonly owner: DataOwner
  readonly field: string
  readonly value: Buffer
  /** The new version, chosen by the writer and never used before. */
  readonly version: string
  readonly expected?: Expected
  /** A write that would exceed this number of fields is refused as `full`. */
  readonly maxFields: number
  /** When all data of the owner expires, unless a later write or touch names a later instant. */
  readonly expiresAtMs: number
  readonly nowMs: number
}

/**
 * `conflict`: the precondition failed. `full`: the owner has `maxFields` fields. `ended`: the owner was
 * ended, and no write may bring its data back.
 */
export type WriteOutcome = 'written' | 'conflict' | 'full' | 'ended'

export type DataRemoval = Pick<DataWrite, 'owner' | 'field' | 'expected' | 'nowMs'>

/** `absent`: there was no such field, and the precondition allowed that. */
export type RemovalOutcome = 'removed' | 'absent' | 'conflict' | 'ended'

/**
 * Fields of sessions and users. Each field changes by compare-and-set, and all fields of an owner
 * expire together. Every call throws `store_unavailable` if the store does not respond in time.
 */
export interface DataStore {
  /** The store has circuit breakers of its own, one for each of its nodes. */
  readonly hasCircuitBreaker?: true
  /** Returns the named fields that exist, or all fields, in one round trip. */
  read(
    owner: DataOwner,
    fields: readonly string[] | 'all',
    nowMs: number,
  ): Promise<ReadonlyMap<string, StoredField>>
  /** One atomic compare-and-set. */
  write(write: DataWrite): Promise<WriteOutcome>
  /** One atomic compare-and-delete. */
  remove(removal: DataRemoval): Promise<RemovalOutcome>
  /** Postpones the expiry of all data of the owner. Never brings it forward. */
  touch(owner: DataOwner, expiresAtMs: number, nowMs: number): Promise<void>
  /**
   * Removes all data of the owner immediately, and refuses every write as `ended` until `untilMs`. With
   * an `untilMs` in the past the data is removed and writes are accepted.
   */
  end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void>
  /**
   * Removes some expired data, looking at `limit` rows at most. Returns whether there may be more. A
   * no-op for a store that expires data by itself.
   */
  removeExpired(nowMs: number, limit: number): Promise<boolean>
  close(): Promise<void>
}
