import type { SQLInputValue, StatementSync } from 'node:sqlite'
import { RateLimiterSQLite } from 'rate-limiter-flexible'
import { type Counter, type CounterOptions, type CounterStore, counterBy } from '../counters.ts'
import type { Schema } from '../migrations.ts'
import { SqliteDatabase } from './database.ts'

// The columns are those that rate-limiter-flexible reads and writes.
const schema: Schema = {
  name: 'counters',
  migrations: [
    {
      name: 'counters',
      sql: `
      CREATE TABLE counters (
        key TEXT PRIMARY KEY,
        points INTEGER NOT NULL,
        expire INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX counters_by_expire ON counters (expire);
    `,
    },
  ],
}

/** Every so many writes remove twice as many expired rows as they make: they never pile up. */
const writesBetween = 8
const removedAtOnce = 2 * writesBetween

/** Counters in one SQLite file, which may be that of another store (`sqlite:`). */
export class SqliteCounterStore implements CounterStore {
  readonly #db: SqliteDatabase
  readonly #client: BetterSqlite3
  readonly #removeExpired: StatementSync
  #writes = 0

  /** @throws `store_unavailable`, `migration_failed` */
  constructor(path: string) {
    this.#db = new SqliteDatabase(path, schema)
    // For this connection alone. What a power failure takes back is a few seconds of counting; a
    // flush to the disk at each attempt would keep every refresh waiting.
    this.#db.prepare('PRAGMA synchronous = NORMAL').get()
    this.#removeExpired = this.#db.prepare(
      `DELETE FROM counters WHERE key IN
         (SELECT key FROM counters WHERE expire <= ? ORDER BY expire LIMIT ${removedAtOnce})`,
    )
    this.#client = this.#asBetterSqlite3()
  }

  counter({ name, limit, window_s }: CounterOptions): Counter {
    return counterBy(
      new RateLimiterSQLite({
        storeClient: this.#client,
        storeType: 'better-sqlite3',
        tableName: 'counters',
        tableCreated: true,
        keyPrefix: name,
        points: limit,
        duration: window_s,
      }),
    )
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  /**
   * What the library uses of better-sqlite3, on our connection. Its one transaction, a single
   * statement, joins the next group of writes; the library awaits what it returns.
   */
  #asBetterSqlite3(): BetterSqlite3 {
    const statements = new Map<string, StatementSync>()
    const statement = (sql: string): StatementSync => {
      const known = statements.get(sql) ?? this.#db.prepare(sql)
      statements.set(sql, known)
      return known
    }
    return {
      prepare: (sql) => ({
        get: (...values) => statement(sql).get(...values),
        run: (...values) => statement(sql).run(...values),
      }),
      transaction: (change) => () =>
        this.#db.write(() => {
          if (this.#writes % writesBetween === 0) this.#removeExpired.run(Date.now())
          this.#writes += 1
          return change()
        }),
    }
  }
}

interface BetterSqlite3 {
  prepare(sql: string): {
    get(...values: SQLInputValue[]): unknown
    run(...values: SQLInputValue[]): unknown
  }
  transaction<T>(change: () => T): () => Promise<T>
}
