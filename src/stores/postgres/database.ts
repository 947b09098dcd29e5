import { setTimeout as sleep } from 'node:timers/promises'
import { Pool, type PoolClient, type QueryConfig, type QueryResult, type QueryResultRow } from 'pg'
import type { Schema } from '../migrations.ts'
import { connectionConfig } from './connection.ts'
import { fateOf, isConnectionSound, unavailable } from './errors.ts'
import { migrate } from './migrations.ts'
import { type PostgresTarget, parsePostgresUrl } from './url.ts'

export interface PostgresOptions {
  /** How many connections there are at most. */
  readonly connectionsMax?: number
  /** How long a call may take: the wait for a connection, the statement, and its repetitions. */
  readonly timeoutMs?: number
  /** How many calls may wait besides, for a connection or to be repeated. */
  readonly waitingMax?: number
}

export const defaultTimeoutMs = 2_000

/** A statement, prepared under its name by each connection that runs it. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** How often a statement that was undone is run again, and how long it waits at first. */
const repeatsMax = 3
const pauseMs = 25

/**
 * A bounded pool of connections to one Postgres database. Each call is one statement, and so one
 * transaction; it is answered within its deadline, if only by `store_unavailable`.
 */
export class PostgresDatabase {
  /** The deadline of a call. */
  readonly timeoutMs: number
  readonly #pool: Pool
  readonly #callsMax: number
  readonly #calls = new Set<Promise<unknown>>()
  #closing: Promise<void> | null = null

  private constructor(target: PostgresTarget, options: PostgresOptions) {
    this.timeoutMs = options.timeoutMs ?? defaultTimeoutMs
    const { connectionsMax = 10, waitingMax = 1_000 } = options
    this.#callsMax = connectionsMax + waitingMax
    this.#pool = new Pool({
      ...connectionConfig(target, { connectMs: this.timeoutMs, statementMs: this.timeoutMs }),
      max: connectionsMax,
      idleTimeoutMillis: 30_000,
    })
    // The pool drops a connection that breaks, and a statement that ran on it fails by itself; but
    // an event that nobody listens to would end the process.
    this.#pool.on('error', () => {})
    this.#pool.on('connect', (client) => client.on('error', () => {}))
  }

  /**
   * Connects and brings the schema up to date.
   * @throws `config_invalid`, `store_unavailable`, `migration_failed`
   */
  static async open(
    url: string,
    schema: Schema,
    options: PostgresOptions = {},
  ): Promise<PostgresDatabase> {
    const target = parsePostgresUrl(url)
    await migrate(target, schema, options.timeoutMs ?? defaultTimeoutMs)
    return new PostgresDatabase(target, options)
  }

  /**
   * Runs a statement. One that a deadlock or another passing trouble has undone is run again.
   *
   * @param isRepeatable that it does no harm twice: it is run again where it may have happened, too
   * @throws `store_unavailable`
   */
  async run<R extends QueryResultRow>(
    statement: Statement,
    values: readonly unknown[],
    isRepeatable = false,
  ): Promise<QueryResult<R>> {
    if (this.#closing !== null) throw unavailable(new Error('the store is closed'))
    if (this.#calls.size >= this.#callsMax) throw unavailable(new Error('too many calls wait'))
    const call = this.#tryInTime<R>(statement, values, isRepeatable)
    this.#calls.add(call)
    try {
      return await call
    } catch (error) {
      throw unavailable(error)
    } finally {
      this.#calls.delete(call)
    }
  }

  /** @throws `store_unavailable` */
  async ping(): Promise<void> {
    await this.run({ name: 'ping', text: 'SELECT 1' }, [], true)
  }

  /** Takes no more calls, and lets those that are here end, within their deadlines. */
  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#calls).then(() => this.#pool.end())
    return this.#closing
  }

  async #tryInTime<R extends QueryResultRow>(
    statement: Statement,
    values: readonly unknown[],
    isRepeatable: boolean,
  ): Promise<QueryResult<R>> {
    const deadlineMs = performance.now() + this.timeoutMs
    for (let repeats = 0; ; repeats++) {
      let client: PoolClient | null = null
      try {
        const connecting = this.#pool.connect()
        client = await within(connecting, leftMs(deadlineMs), (late) => late.release())
        return await execute<R>(client, statement, values, deadlineMs)
      } catch (error) {
        const fate = fateOf(error, client === null ? 'connecting' : 'running')
        const mayRepeat = fate === 'undone' || (fate === 'unknown' && isRepeatable)
        // At random, so that those who met do not meet again.
        const delayMs = Math.random() * pauseMs * 4 ** repeats
        if (!mayRepeat || repeats === repeatsMax) throw error
        if (performance.now() + delayMs >= deadlineMs) throw error
        await sleep(delayMs)
      }
    }
  }
}

async function execute<R extends QueryResultRow>(
  client: PoolClient,
  statement: Statement,
  values: readonly unknown[],
  deadlineMs: number,
): Promise<QueryResult<R>> {
  const query: QueryConfig & { query_timeout: number } = {
    ...statement,
    values: [...values],
    query_timeout: leftMs(deadlineMs),
  }
  let isSound = false
  try {
    const result = await client.query<R>(query)
    isSound = true
    return result
  } catch (error) {
    isSound = isConnectionSound(error)
    throw error
  } finally {
    // What timed out may still be answered: that connection is closed, not used again.
    client.release(!isSound)
  }
}

/** Never 0, which would mean no limit. */
function leftMs(deadlineMs: number): number {
  return Math.max(1, Math.ceil(deadlineMs - performance.now()))
}

/** Rejects when `pending` takes too long; what it gives all the same goes to `onLate`. */
function within<T>(pending: Promise<T>, ms: number, onLate: (value: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      reject(unavailable(new Error('no connection was there in time')))
    }, ms)
    const settle = (value: T) => {
      clearTimeout(timer)
      if (isLate) onLate(value)
      else resolve(value)
    }
    pending.then(settle, (error: unknown) => {
      clearTimeout(timer)
      reject(error)
    })
  })
}
