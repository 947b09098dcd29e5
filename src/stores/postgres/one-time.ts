import type { Migration } from '../migrations.ts'
import type { OneTimeUse } from '../ports.ts'
import { type OneTimeRow, oneTimeMarginMs, toOneTimeUse } from '../sql-rows.ts'
import type { PostgresDatabase } from './database.ts'

export const oneTimeMigration: Migration = {
  name: 'one-time values',
  sql: `
    CREATE TABLE gatepass.one_time (
      expires_at_ms BIGINT NOT NULL,
      id TEXT COLLATE "C" PRIMARY KEY,
      payload TEXT NOT NULL,
      taken_by TEXT
    );
    CREATE INDEX one_time_by_expiry ON gatepass.one_time (expires_at_ms);
  `,
}

const insert = {
  name: 'insert one-time value',
  text: `
    INSERT INTO gatepass.one_time (id, payload, expires_at_ms) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING`,
}

const select = {
  name: 'select one-time value',
  text: `
    SELECT payload FROM gatepass.one_time
    WHERE id = $1 AND expires_at_ms > $2 AND taken_by IS NULL`,
}

/** A statement that waits for the row continues with its new version (READ COMMITTED). */
const take = {
  name: 'take one-time value',
  text: `
    UPDATE gatepass.one_time SET taken_by = coalesce(taken_by, $2)
    WHERE id = $1 AND expires_at_ms > $3
    RETURNING payload, taken_by`,
}

const deleteOne = {
  name: 'delete one-time value',
  text: 'DELETE FROM gatepass.one_time WHERE id = $1',
}

const deleteExpired = {
  name: 'delete expired one-time values',
  text: `
    DELETE FROM gatepass.one_time WHERE id IN
      (SELECT id FROM gatepass.one_time WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2
       FOR UPDATE SKIP LOCKED)`,
}

/** One-time values, beside the sessions. */
export class PostgresOneTimeValues {
  readonly #db: PostgresDatabase

  constructor(db: PostgresDatabase) {
    this.#db = db
  }

  async put(id: string, payload: string, expiresAtMs: number): Promise<void> {
    await this.#db.run(insert, [id, payload, expiresAtMs], true)
  }

  async find(id: string, nowMs: number): Promise<string | null> {
    const { rows } = await this.#db.run<{ payload: string }>(select, [id, nowMs], true)
    return rows[0]?.payload ?? null
  }

  async take(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse> {
    const { rows } = await this.#db.run<OneTimeRow>(take, [id, takenBy, nowMs], true)
    return toOneTimeUse(rows[0], takenBy)
  }

  async delete(id: string): Promise<void> {
    await this.#db.run(deleteOne, [id], true)
  }

  async claim(id: string, expiresAtMs: number): Promise<boolean> {
    // Not repeated where it may have happened: the claim of this caller would look like another's.
    const { rowCount } = await this.#db.run(insert, [id, '', expiresAtMs])
    return rowCount === 1
  }

  /** Removes at most `limit` expired values. Returns whether there may be more. */
  async removeExpired(nowMs: number, limit: number): Promise<boolean> {
    const { rowCount } = await this.#db.run(deleteExpired, [nowMs - oneTimeMarginMs, limit])
    return rowCount === limit
  }
}
