import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import { startCleanup } from './cleanup.ts'
import type { DataOwner, DataRemoval, DataStore, DataWrite } from './data-store.ts'

export interface DataStoreOptions {
  /** Longest duration of a call. SQLite has its own, for a file that another process has locked. */
  readonly deadlineMs: number
  /** Redis replicas that must have a change before it is acknowledged. */
  readonly replicas: number
  /** How long to wait for a store that is unavailable. */
  readonly openMs?: number
}

/**
 * Opens the data store of a URL and loads its driver.
 *
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openDataStore(
  url: string,
  cwd: string,
  { replicas, ...options }: DataStoreOptions,
): Promise<DataStore> {
  if (isRedis(url)) {
    const { RedisDataStore } = await import('./redis/data-store.ts')
    return RedisDataStore.open(url, { ...options, replicas, cwd })
  }
  if (replicas > 0) {
    throw new GatepassError('config_invalid', {
      detail:
        'Only a Redis has replicas that confirm changes. Set replicas to 0 for another store.',
    })
  }
  if (isMemcached(url)) {
    const { MemcachedDataStore } = await import('./memcached/data-store.ts')
    return MemcachedDataStore.open(url, { ...options, cwd })
  }
  if (!/^sqlite:./.test(url)) {
    throw new GatepassError('config_invalid', {
      detail:
        'The URL of a data store must start with sqlite:, redis: or memcached:, or with a variant of these.',
    })
  }
  const { SqliteDataStore } = await import('./sqlite/data-store.ts')
  return new SqliteDataStore(sqlitePath(url, cwd))
}

/**
 * Opens a data store for a process that serves requests: the start does not wait for the store.
 *
 * @throws `config_invalid`, `migration_failed`
 */
export function openResilientDataStore(
  url: string,
  cwd: string,
  {
    deadlineMs,
    replicas,
    ...options
  }: Omit<DataStoreOptions, 'openMs'> & ResilientDataStoreOptions,
): Promise<DataStore> {
  const open = () => openDataStore(url, cwd, { deadlineMs, replicas, openMs: 0 })
  return ResilientDataStore.open(open, options)
}

export function isRedis(url: string): boolean {
  return url.startsWith('redis')
}

export function isMemcached(url: string): boolean {
  return url.startsWith('memcached')
}

/** Reads `sqlite:<path>`, or `sqlite::memory:` for a database that lasts as long as the process. */
export function sqlitePath(url: string, cwd: string): string {
  const path = url.slice('sqlite:'.length)
  return path === ':memory:' ? path : resolve(cwd, path)
}

export interface ResilientDataStoreOptions {
  readonly clock: Clock
  /** Receives the error if the store is unavailable at the start. */
  onUnavailable(error: unknown): void
  /** Receives the error when expired data could not be removed. */
  onCleanupError(error: unknown): void
}

/** Delay between attempts to open a store that was unavailable at the start. */
const reopenDelay = { minMs: 250, maxMs: 10_000 }

/**
 * How long a circuit breaker stays open. A probe may take the whole deadline of a call. One a second is
 * cheap, and a longer open period would make a fail-over of a few seconds noticeably longer.
 */
const openFor = { minMs: 500, maxMs: 1_000 }

/**
 * A data store for a process that serves requests. The start does not wait for the store, calls fail
 * immediately while the store does not respond, and expired data is removed in the background.
 */
export class ResilientDataStore implements DataStore {
  readonly #openStore: () => Promise<DataStore>
  /**
   * Three circuit breakers: a store may answer reads and be unable to acknowledge changes, and a full
   * store refuses writes and accepts the removals that make room.
   */
  readonly #reads: CircuitBreaker
  readonly #writes: CircuitBreaker
  readonly #removals: CircuitBreaker
  readonly #cleanup: { stop(): void }
  /** null until the store has been opened. */
  #store: DataStore | null = null
  #lastError: unknown
  #opening: Promise<void> | null = null
  readonly #closing = new AbortController()

  private constructor(openStore: () => Promise<DataStore>, options: ResilientDataStoreOptions) {
    const { clock, onCleanupError } = options
    const isFailure = (error: unknown) => isGatepassError(error, 'store_unavailable')
    this.#openStore = openStore
    const breaker = () => new CircuitBreaker({ openFor, clock, isFailure })
    this.#reads = breaker()
    this.#writes = breaker()
    this.#removals = breaker()
    this.#cleanup = startCleanup(this, clock, onCleanupError)
  }

  /**
   * @param openStore opens the store, or throws `store_unavailable` if it does not respond
   * @throws the other errors of `openStore`, such as `config_invalid`
   */
  static async open(
    openStore: () => Promise<DataStore>,
    options: ResilientDataStoreOptions,
  ): Promise<ResilientDataStore> {
    const resilient = new ResilientDataStore(openStore, options)
    try {
      resilient.#store = await openStore()
    } catch (error) {
      if (!isGatepassError(error, 'store_unavailable')) {
        await resilient.close()
        throw error
      }
      options.onUnavailable(error)
      resilient.#lastError = error
      resilient.#opening = resilient.#openRepeatedly()
    }
    return resilient
  }

  read(owner: DataOwner, fields: readonly string[] | 'all', nowMs: number) {
    return this.#run(this.#reads, (store) => store.read(owner, fields, nowMs))
  }

  write(write: DataWrite) {
    return this.#run(this.#writes, (store) => store.write(write))
  }

  remove(removal: DataRemoval) {
    return this.#run(this.#removals, (store) => store.remove(removal))
  }

  touch(owner: DataOwner, expiresAtMs: number, nowMs: number) {
    return this.#run(this.#writes, (store) => store.touch(owner, expiresAtMs, nowMs))
  }

  end(owner: DataOwner, untilMs: number, nowMs: number) {
    return this.#run(this.#removals, (store) => store.end(owner, untilMs, nowMs))
  }

  async removeExpired(nowMs: number, limit: number): Promise<boolean> {
    if (this.#store === null) return false
    return this.#run(this.#removals, (store) => store.removeExpired(nowMs, limit))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#cleanup.stop()
    await this.#opening
    await this.#store?.close()
  }

  async #run<T>(breaker: CircuitBreaker, call: (store: DataStore) => Promise<T>): Promise<T> {
    const store = this.#store
    // The last error may be one that would have prevented the start, such as `migration_failed`.
    if (store === null) throw unavailable(this.#lastError)
    try {
      return await (store.hasCircuitBreaker ? call(store) : breaker.run(() => call(store)))
    } catch (error) {
      throw isGatepassError(error, 'store_unavailable') ? unavailable(error) : error
    }
  }

  /** Opens the store in the background, until that succeeds or this store is closed. */
  async #openRepeatedly(): Promise<void> {
    const { signal } = this.#closing
    for (let attempt = 0; ; attempt++) {
      try {
        await sleep(backoffMs(attempt, reopenDelay), null, { signal, ref: false })
        this.#store = await this.#openStore()
        return
      } catch (error) {
        if (signal.aborted) return
        this.#lastError = error
      }
    }
  }
}

/**
 * Returns an error for the client, with its cause for the log. The detail of the cause names the server or the
 * file, and by default Fastify sends the message of an error to the client.
 */
function unavailable(cause: unknown): GatepassError {
  const { retryAfterSeconds = 1 } = isGatepassError(cause) ? cause : {}
  return new GatepassError('store_unavailable', { cause, retryAfterSeconds })
}
