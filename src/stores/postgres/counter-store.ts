import { RateLimiterPostgres } from 'rate-limiter-flexible'
import {
  type Counter,
  type CounterOptions,
  type CounterStore,
  createCounter,
} from '../counter-store.ts'
import type { Schema } from '../migrations.ts'
import { PostgresDatabase, type PostgresOptions } from './database.ts'

// The columns are those that rate-limiter-flexible reads and writes.
const schema: Schema = {
  name: 'counters',
  migrations: [
    {
      name: 'counters',
      sql: `
      CREATE TABLE gatepass.counters (
        key TEXT COLLATE "C" PRIMARY KEY,
        points INTEGER NOT NULL,
        expire BIGINT NOT NULL
      );
      CREATE INDEX counters_by_expire ON gatepass.counters (expire);
    `,
    },
  ],
}

/** Removes two expired rows. Each write runs it, so expired rows do not accumulate. */
const removeExpired = {
  name: 'delete expired counters',
  text: `
    DELETE FROM gatepass.counters WHERE key IN
      (SELECT key FROM gatepass.counters WHERE expire <= $1 ORDER BY expire LIMIT 2
       FOR UPDATE SKIP LOCKED)`,
}

const deleteOnly = {
  name: 'delete the only event',
  text: 'DELETE FROM gatepass.counters WHERE key = $1 AND points <= 1',
}

const takeOne = {
  name: 'take one event back',
  text: 'UPDATE gatepass.counters SET points = points - 1 WHERE key = $1 AND points > 0',
}

/** Logins are rare compared with refreshes. */
const maxConnections = 2

/** Counters in Postgres (`postgres:`). */
export class PostgresCounterStore implements CounterStore {
  readonly #db: PostgresDatabase

  private constructor(db: PostgresDatabase) {
    this.#db = db
  }

  /** @throws `config_invalid`, `store_unavailable`, `migration_failed` */
  static async open(url: string, options?: PostgresOptions): Promise<PostgresCounterStore> {
    return new PostgresCounterStore(
      await PostgresDatabase.open(url, schema, { maxConnections, ...options }),
    )
  }

  counter({ name, limit, windowSeconds }: CounterOptions): Counter {
    return createCounter(
      new RateLimiterPostgres({
        storeClient: { query: (query: Query) => this.#query(query) },
        storeType: 'client',
        schemaName: 'gatepass',
        tableName: 'counters',
        tableCreated: true,
        clearExpiredByTimeout: false,
        keyPrefix: name,
        points: limit,
        duration: windowSeconds,
      }),
      async (key) => {
        const { rowCount } = await this.#db.run(deleteOnly, [key])
        if (rowCount === 0) await this.#db.run(takeOne, [key])
      },
    )
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  /** The part of a `pg` client that the library uses. */
  async #query({ name, text, values }: Query) {
    const result = await this.#db.run({ name, text }, values)
    if (text.trimStart().startsWith('INSERT')) await this.#db.run(removeExpired, [Date.now()])
    return result
  }
}

interface Query {
  readonly name: string
  readonly text: string
  readonly values: readonly unknown[]
}
