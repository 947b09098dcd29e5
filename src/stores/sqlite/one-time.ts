import type { StatementSync } from 'node:sqlite'
import type { Migration } from '../migrations.ts'
import type { OneTimeUse } from '../ports.ts'
import { type OneTimeRow, oneTimeMarginMs, toOneTimeUse } from '../sql-rows.ts'
import { boundLimit, type Change, type SqliteDatabase } from './database.ts'

export const oneTimeMigration: Migration = {
  name: 'one-time values',
  sql: `
    CREATE TABLE one_time (
      id TEXT PRIMARY KEY,
      payload TEXT NOT NULL,
      taken_by TEXT,
      expires_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX one_time_by_expiry ON one_time (expires_at_ms);
  `,
}

/** One-time values, beside the sessions. The caller runs each change inside a write. */
export class SqliteOneTimeValues {
  readonly #insert: Change
  readonly #select: StatementSync
  readonly #take: StatementSync
  readonly #delete: Change
  readonly #deleteExpired: Change

  constructor(db: SqliteDatabase) {
    this.#insert = db.prepareChange(
      `INSERT INTO one_time (id, payload, expires_at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
    )
    this.#select = db.prepare(
      'SELECT payload FROM one_time WHERE id = ? AND expires_at_ms > ? AND taken_by IS NULL',
    )
    this.#take = db.prepare(
      `UPDATE one_time SET taken_by = coalesce(taken_by, ?) WHERE id = ? AND expires_at_ms > ?
       RETURNING payload, taken_by`,
    )
    this.#delete = db.prepareChange('DELETE FROM one_time WHERE id = ?')
    this.#deleteExpired = db.prepareChange(
      `DELETE FROM one_time WHERE id IN (SELECT id FROM one_time WHERE expires_at_ms <= ?
         ORDER BY expires_at_ms ${boundLimit})`,
    )
  }

  /** Returns false if the id is there already. */
  add(id: string, payload: string, expiresAtMs: number): boolean {
    return this.#insert(id, payload, expiresAtMs) === 1
  }

  find(id: string, nowMs: number): string | null {
    const row = this.#select.get(id, nowMs)
    return row === undefined ? null : String(row.payload)
  }

  take(id: string, takenBy: string, nowMs: number): OneTimeUse {
    const row = this.#take.get(takenBy, id, nowMs) as OneTimeRow | undefined
    return toOneTimeUse(row, takenBy)
  }

  delete(id: string): void {
    this.#delete(id)
  }

  /** Removes at most `limit` expired values. Returns whether there may be more. */
  removeExpired(nowMs: number, limit: number): boolean {
    return this.#deleteExpired(nowMs - oneTimeMarginMs, limit) === limit
  }
}
