import type { Migration } from '../migrations.ts'
import type { Revocation } from '../ports.ts'
import { type RevocationRow, toRevocation } from '../sql-rows.ts'
import type { PostgresDatabase } from './database.ts'

export const revocationsMigration: Migration = {
  name: 'revocations',
  sql: `
    CREATE TABLE gatepass.revocations (
      position BIGINT PRIMARY KEY,
      at_ms BIGINT NOT NULL,
      expires_at_ms BIGINT NOT NULL,
      kind TEXT NOT NULL,
      id TEXT NOT NULL
    );
    CREATE TABLE gatepass.revocations_end (
      only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
      position BIGINT NOT NULL
    );
    INSERT INTO gatepass.revocations_end (position) VALUES (0);
  `,
}

/** The clock of the server, in milliseconds. */
const serverMs = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'

/**
 * Returns the end of a WITH list that appends the row of `entries` (kind, id, at_ms, kept_ms), if there is
 * one, dated by the later clock. Readers need positions that become visible in order and still grow after a
 * fail-over: the last position is a row that follows the clock, and the statement locks it last.
 */
export function appendTo(entries: string): string {
  return `
    log_end AS (
      UPDATE gatepass.revocations_end AS log_end SET position =
        greatest(log_end.position + 1, ${serverMs})
      FROM ${entries}
      RETURNING log_end.position, kind, id, greatest(at_ms, ${serverMs}) AS at_ms, kept_ms
    ), logged AS (
      INSERT INTO gatepass.revocations (position, kind, id, at_ms, expires_at_ms)
      SELECT position, kind, id, at_ms, at_ms + kept_ms FROM log_end
    )`
}

/** Appends one entry. Parameters: 1 kind, 2 id, 3 at, 4 kept. */
const append = {
  name: 'append revocation',
  text: `
    WITH entry AS (
      SELECT $1::text AS kind, $2::text AS id, $3::bigint AS at_ms, $4::bigint AS kept_ms
    ), ${appendTo('entry')}
    SELECT 1`,
}

const selectAfter = {
  name: 'revocations after',
  text: `
    SELECT position, kind, id, at_ms FROM gatepass.revocations
    WHERE position > $1 ORDER BY position LIMIT $2`,
}

/** Looks at the oldest entries only: they expire roughly in the order of their positions. */
const deleteExpired = {
  name: 'delete expired revocations',
  text: `
    DELETE FROM gatepass.revocations WHERE expires_at_ms <= $1 AND position IN
      (SELECT position FROM gatepass.revocations ORDER BY position LIMIT $2)`,
}

/** The revocation log, beside the sessions. */
export class PostgresRevocationLog {
  readonly #db: PostgresDatabase

  constructor(db: PostgresDatabase) {
    this.#db = db
  }

  async append(kind: Revocation['kind'], id: string, atMs: number, keptMs: number): Promise<void> {
    await this.#db.run(append, [kind, id, atMs, keptMs])
  }

  async after(position: string, limit: number): Promise<Revocation[]> {
    // An unknown position is the start of the log.
    const last = /^\d{1,15}$/.test(position) ? position : '0'
    const { rows } = await this.#db.run<RevocationRow>(selectAfter, [last, limit], true)
    return rows.map(toRevocation)
  }

  /** Removes at most `limit` expired entries. Returns whether there may be more. */
  async removeExpired(nowMs: number, limit: number): Promise<boolean> {
    const { rowCount } = await this.#db.run(deleteExpired, [nowMs, limit])
    return rowCount === limit
  }
}
