import type { Schema } from '../migrations.ts'
import { changedColumns, sessionColumns } from '../sql-rows.ts'
import type { Statement } from './database.ts'

export const schema: Schema = {
  name: 'sessions',
  migrations: [
    {
      name: 'sessions',
      // The fill factor leaves room on each page for the next version of its rows. Columns of fixed
      // width come first, so that Postgres adds no padding.
      sql: `
      CREATE TABLE gatepass.sessions (
        created_at_ms BIGINT NOT NULL,
        ends_at_ms BIGINT NOT NULL,
        expires_at_ms BIGINT NOT NULL,
        minted_at_ms BIGINT NOT NULL,
        revoked_at_ms BIGINT,
        generation BIGINT NOT NULL,
        presented BOOLEAN NOT NULL,
        idempotency_key BYTEA,
        sid TEXT COLLATE "C" PRIMARY KEY,
        sub TEXT COLLATE "C" NOT NULL,
        client_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        amr TEXT NOT NULL,
        user_agent TEXT NOT NULL
      ) WITH (fillfactor = 80);
      CREATE INDEX sessions_by_sub ON gatepass.sessions (sub);
    `,
    },
    {
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
    },
    { name: 'session keys', sql: 'ALTER TABLE gatepass.sessions ADD COLUMN jkt TEXT' },
    {
      name: 'retries and replays',
      sql: `
      ALTER TABLE gatepass.sessions
        ADD COLUMN first_retry_at_ms BIGINT,
        ADD COLUMN last_retry_at_ms BIGINT,
        ADD COLUMN other_key BYTEA,
        ADD COLUMN replay_keys BYTEA,
        ADD COLUMN late_replay_at_ms BIGINT;
    `,
    },
    {
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
    },
  ],
}

/** The clock of the server, in milliseconds. */
const serverMs = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'

/**
 * Returns the end of a WITH list that appends the rows of `entries` (kind, id, at_ms, kept_ms), dated by the
 * later clock. Readers need positions that become visible in order and still grow after a fail-over: the
 * last position is a row that follows the clock, and the statement locks it last.
 */
function appendTo(entries: string): string {
  return `
    log_end AS (
      UPDATE gatepass.revocations_end AS log_end SET position =
        greatest(log_end.position + added.entries, ${serverMs})
      FROM (SELECT count(*) AS entries FROM ${entries}) AS added
      WHERE added.entries > 0
      RETURNING log_end.position, ${serverMs} AS now_ms
    ), logged AS (
      INSERT INTO gatepass.revocations (position, kind, id, at_ms, expires_at_ms)
      SELECT position + 1 - row_number() OVER (), kind, id, greatest(at_ms, now_ms),
        greatest(at_ms, now_ms) + kept_ms
      FROM log_end, ${entries}
    )`
}

/** Returns how many other sessions of the user are not revoked: a statement does not see its own rows. */
export const insert: Statement = {
  name: 'insert session',
  text: `
    INSERT INTO gatepass.sessions (${sessionColumns})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
      $20)
    RETURNING (
      SELECT count(*)::int FROM gatepass.sessions AS other
      WHERE other.sub = $2 AND other.revoked_at_ms IS NULL
    ) AS others`,
}

export const selectBySids: Statement = {
  name: 'select sessions by sid',
  rowMode: 'array',
  text: `SELECT ${sessionColumns} FROM gatepass.sessions WHERE sid = ANY ($1)`,
}

export const selectBySub: Statement = {
  name: 'select sessions by sub',
  rowMode: 'array',
  text: `
    SELECT ${sessionColumns} FROM gatepass.sessions
    WHERE sub = $1 AND revoked_at_ms IS NULL AND $2 < expires_at_ms
    ORDER BY created_at_ms DESC, sid`,
}

/** Parameters: 1 sid, 2 now, 3 kept. */
export const revoke: Statement = {
  name: 'revoke session',
  text: `
    WITH ended AS (
      UPDATE gatepass.sessions SET revoked_at_ms = $2, expires_at_ms = $2 + $3::bigint
      WHERE sid = $1 AND revoked_at_ms IS NULL AND $2 < expires_at_ms
      RETURNING 'session' AS kind, sid AS id, revoked_at_ms AS at_ms, $3::bigint AS kept_ms
    ), ${appendTo('ended')}
    SELECT 1 FROM ended`,
}

/**
 * Locks sessions in the order of their ids, so that two of these statements cannot deadlock.
 * Appends a log entry even without a live session, because an access token may outlive its session.
 *
 * Parameters: 1 sub, 2 now, 3 kept.
 */
export const revokeAll: Statement = {
  name: 'revoke all sessions',
  text: `
    WITH live AS (
      SELECT sid FROM gatepass.sessions
      WHERE sub = $1 AND revoked_at_ms IS NULL AND $2::bigint < expires_at_ms
      ORDER BY sid FOR NO KEY UPDATE
    ), ended AS (
      UPDATE gatepass.sessions AS stored SET revoked_at_ms = $2, expires_at_ms = $2 + $3::bigint
      FROM live WHERE stored.sid = live.sid
      RETURNING 1
    ), entry AS (
      SELECT 'user' AS kind, $1 AS id, $2 AS at_ms, $3::bigint AS kept_ms, count(*) AS sessions
      FROM ended
    ), ${appendTo('entry')}
    SELECT sessions FROM entry`,
}

/**
 * Ends sessions of a slice of the table, in the order of their ids.
 *
 * Parameters: 1 the last sid of the previous slice, 2 created before, 3 now, 4 kept, 5 rows of the slice.
 */
export const endSlice: Statement = {
  name: 'end sessions of a slice',
  text: `
    WITH slice AS MATERIALIZED (
      SELECT sid FROM gatepass.sessions WHERE sid > $1 ORDER BY sid LIMIT $5
    ), live AS (
      SELECT sid FROM gatepass.sessions
      WHERE sid = ANY (ARRAY (SELECT sid FROM slice))
        AND created_at_ms < $2 AND revoked_at_ms IS NULL AND $3::bigint < expires_at_ms
      ORDER BY sid FOR NO KEY UPDATE
    ), ended AS (
      UPDATE gatepass.sessions AS stored SET revoked_at_ms = $3, expires_at_ms = $3 + $4::bigint
      FROM live WHERE stored.sid = live.sid
      RETURNING stored.sid
    )
    SELECT (SELECT max(sid) FROM slice) AS last, ARRAY (SELECT sid FROM ended) AS sids`,
}

/**
 * Deletes the expired rows of a slice, in physical order: every rotation would have to change an
 * index on the expiry. A row that is refreshed meanwhile stays, because the delete checks its new
 * version.
 *
 * Parameters: 1 the last position of the previous slice, 2 now, 3 rows of the slice.
 */
export const deleteExpired: Statement = {
  name: 'delete expired sessions',
  text: `
    WITH slice AS MATERIALIZED (
      SELECT ctid AS place, expires_at_ms FROM gatepass.sessions WHERE ctid > $1::tid LIMIT $3
    ), deleted AS (
      DELETE FROM gatepass.sessions WHERE expires_at_ms <= $2
        AND ctid = ANY (ARRAY (SELECT place FROM slice WHERE expires_at_ms <= $2))
    )
    SELECT count(*) AS seen, max(place)::text AS last FROM slice`,
}

export const clock: Statement = {
  name: 'clock',
  text: 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now',
}

/** The types of `changedColumns`. */
const changedTypes = [
  ...['bigint', 'bigint', 'boolean', 'bytea', 'bigint', 'bigint', 'bigint', 'bigint'],
  ...['bytea', 'bytea', 'bigint'],
]
const before = changedTypes.map((_type, n) => `before_${n}`)
const after = changedTypes.map((_type, n) => `after_${n}`)
const arrays = ['text', 'bigint', ...changedTypes, ...changedTypes].map(
  (type, n) => `$${n + 1}::${type}[]`,
)

/**
 * Replaces sessions that have not changed, and appends those to the log that are revoked now. Returns the
 * indexes of the replaced ones, from 1.
 *
 * Locks sessions in the order of their ids. A statement that waits for a row compares its newest version
 * (READ COMMITTED). Of two changes of a session, one is made. No indexed column changes, so the update stays
 * on its page.
 *
 * Parameters are arrays: 1 sid, 2 kept, 3 to 13 the changed columns before, 14 to 24 after.
 */
export const replace: Statement = {
  name: 'replace sessions',
  text: `
    WITH change AS (
      SELECT * FROM unnest(${arrays}) WITH ORDINALITY
        AS change (sid, kept_ms, ${before}, ${after}, n)
      ORDER BY sid
    ), replaced AS (
      UPDATE gatepass.sessions AS stored SET (${changedColumns}) = ROW (${after})
      FROM change
      WHERE stored.sid = change.sid AND ROW (${changedColumns}) IS NOT DISTINCT FROM ROW (${before})
      RETURNING n, stored.sid, revoked_at_ms, kept_ms
    ), entry AS (
      SELECT 'session' AS kind, sid AS id, revoked_at_ms AS at_ms, kept_ms
      FROM replaced WHERE revoked_at_ms IS NOT NULL
    ), ${appendTo('entry')}
    SELECT n::int FROM replaced`,
}

/** Appends one entry. Parameters: 1 kind, 2 id, 3 at, 4 kept. */
export const appendRevocation: Statement = {
  name: 'append revocation',
  text: `
    WITH entry AS (
      SELECT $1::text AS kind, $2::text AS id, $3::bigint AS at_ms, $4::bigint AS kept_ms
    ), ${appendTo('entry')}
    SELECT 1`,
}

/**
 * Continues from an entry that exists, and otherwise starts again: the clock of a new primary may be behind
 * the entries that a fail-over has lost.
 */
export const selectRevocations: Statement = {
  name: 'revocations after',
  text: `
    SELECT position, kind, id, at_ms, expires_at_ms FROM gatepass.revocations
    WHERE position > coalesce(
      (SELECT seen.position FROM gatepass.revocations AS seen WHERE seen.position = $1), 0)
    ORDER BY position LIMIT $2`,
}

/**
 * Deletes the oldest entries, up to the first that has not expired: a reader whose entry is gone starts
 * again.
 */
export const deleteExpiredRevocations: Statement = {
  name: 'delete expired revocations',
  text: `
    WITH oldest AS
      (SELECT position, expires_at_ms FROM gatepass.revocations ORDER BY position LIMIT $2)
    DELETE FROM gatepass.revocations WHERE position IN
      (SELECT position FROM oldest WHERE position < coalesce(
        (SELECT min(position) FROM oldest WHERE expires_at_ms > $1), 9223372036854775807))`,
}

export const insertOneTime: Statement = {
  name: 'insert one-time value',
  text: `
    INSERT INTO gatepass.one_time (id, payload, expires_at_ms) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING`,
}

export const selectOneTime: Statement = {
  name: 'select one-time value',
  text: `
    SELECT payload FROM gatepass.one_time
    WHERE id = $1 AND expires_at_ms > $2 AND taken_by IS NULL`,
}

/** A statement that waits for the row continues with its new version (READ COMMITTED). */
export const takeOneTime: Statement = {
  name: 'take one-time value',
  text: `
    UPDATE gatepass.one_time SET taken_by = coalesce(taken_by, $2)
    WHERE id = $1 AND expires_at_ms > $3
    RETURNING payload, taken_by`,
}

export const deleteOneTime: Statement = {
  name: 'delete one-time value',
  text: 'DELETE FROM gatepass.one_time WHERE id = $1',
}

export const deleteExpiredOneTime: Statement = {
  name: 'delete expired one-time values',
  text: `
    DELETE FROM gatepass.one_time WHERE id IN
      (SELECT id FROM gatepass.one_time WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2
       FOR UPDATE SKIP LOCKED)`,
}
