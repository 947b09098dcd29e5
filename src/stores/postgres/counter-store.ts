import { systemClock } from '../../core/clock.ts'
import type { CounterStore, CounterWindow } from '../counter-store.ts'
import type { Schema } from '../migrations.ts'
import { type CounterRow, toCounterWindow } from '../sql-rows.ts'
import { PostgresDatabase, type PostgresOptions } from './database.ts'

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

const select = {
  name: 'select counter',
  text: 'SELECT points, expire FROM gatepass.counters WHERE key = $1',
}

/** Parameters: 1 key, 2 the end of a new window, 3 now, 4 the latest end of a window that counts. */
const addOne = {
  name: 'add event',
  text: `
    INSERT INTO gatepass.counters AS stored (key, points, expire) VALUES ($1, 1, $2)
    ON CONFLICT (key) DO UPDATE SET
      points = CASE WHEN stored.expire > $3 AND stored.expire <= $4 THEN stored.points + 1 ELSE 1 END,
      expire = CASE WHEN stored.expire > $3 AND stored.expire <= $4 THEN stored.expire ELSE $2 END
    RETURNING points, expire`,
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
  text: 'DELETE FROM gatepass.counters WHERE key = $1 AND expire = $2 AND points <= 1',
}

const takeOne = {
  name: 'take one event back',
  text: `
    UPDATE gatepass.counters SET points = points - 1 WHERE key = $1 AND expire = $2 AND points > 0`,
}

const deleteAll = {
  name: 'delete counter',
  text: 'DELETE FROM gatepass.counters WHERE key = $1',
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

  async read(key: string): Promise<CounterWindow | null> {
    const { rows } = await this.#db.run<CounterRow>(select, [key], true)
    return rows[0] === undefined ? null : toCounterWindow(rows[0], systemClock.nowMs())
  }

  async add(key: string, windowMs: number, maxWindowMs: number): Promise<CounterWindow> {
    const nowMs = systemClock.nowMs()
    const values = [key, nowMs + windowMs, nowMs, nowMs + maxWindowMs]
    const { rows } = await this.#db.run<CounterRow>(addOne, values)
    await this.#db.run(removeExpired, [nowMs])
    return toCounterWindow(rows[0] as CounterRow, nowMs)
  }

  async takeBack(key: string, endsAtMs: number): Promise<void> {
    const { rowCount } = await this.#db.run(deleteOnly, [key, endsAtMs])
    if (rowCount === 0) await this.#db.run(takeOne, [key, endsAtMs])
  }

  async reset(key: string): Promise<void> {
    await this.#db.run(deleteAll, [key])
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}
