import type { StatementSync } from 'node:sqlite'
import type { Migration } from '../migrations.ts'
import type { Revocation } from '../ports.ts'
import { type RevocationRow, toRevocation } from '../sql-rows.ts'
import { boundLimit, type Change, type SqliteDatabase } from './database.ts'

export const revocationsMigration: Migration = {
  name: 'revocations',
  // AUTOINCREMENT: no position is used twice, even if the newest row was removed.
  sql: `
    CREATE TABLE revocations (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      id TEXT NOT NULL,
      at_ms INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL
    ) STRICT;
  `,
}

/** The revocation log, beside the sessions. The caller runs each change inside a write. */
export class SqliteRevocationLog {
  readonly #insert: Change
  readonly #selectAfter: StatementSync
  readonly #deleteExpired: Change

  constructor(db: SqliteDatabase) {
    this.#insert = db.prepareChange(
      'INSERT INTO revocations (kind, id, at_ms, expires_at_ms) VALUES (?, ?, ?, ?)',
    )
    this.#selectAfter = db.prepare(
      `SELECT position, kind, id, at_ms FROM revocations WHERE position > ? ORDER BY position ${boundLimit}`,
    )
    // Looks at the oldest entries only: they expire roughly in the order of their positions.
    this.#deleteExpired = db.prepareChange(
      `DELETE FROM revocations WHERE expires_at_ms <= ? AND position IN
         (SELECT position FROM revocations ORDER BY position ${boundLimit})`,
    )
  }

  append(kind: Revocation['kind'], id: string, atMs: number, keptMs: number): void {
    this.#insert(kind, id, atMs, atMs + keptMs)
  }

  after(position: string, limit: number): Revocation[] {
    // An unknown position is the start of the log.
    const rows = this.#selectAfter.all(Number(position) || 0, limit)
    return (rows as unknown as RevocationRow[]).map(toRevocation)
  }

  /** Removes at most `limit` expired entries. Returns whether there may be more. */
  removeExpired(nowMs: number, limit: number): boolean {
    return this.#deleteExpired(nowMs, limit) === limit
  }
}
