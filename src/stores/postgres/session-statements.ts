import type { Schema } from '../migrations.ts'
import { changedColumns, sessionColumns } from '../sql-rows.ts'
import type { Statement } from './database.ts'
import { oneTimeMigration } from './one-time.ts'
import { appendTo, revocationsMigration } from './revocation-log.ts'

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
    revocationsMigration,
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
    oneTimeMigration,
  ],
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

export const select: Statement = {
  name: 'select session',
  rowMode: 'array',
  text: `SELECT ${sessionColumns} FROM gatepass.sessions WHERE sid = $1`,
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

/**
 * Replaces a session unless it has changed, and appends to the log if it is revoked now. A statement that
 * waits for the row compares its newest version (READ COMMITTED). No indexed column changes, so the
 * update stays on its page.
 *
 * Parameters: 1 sid, 2 kept, 3 to 13 the changed columns before, 14 to 24 after.
 */
export const replace: Statement = {
  name: 'replace session',
  text: `
    WITH replaced AS (
      UPDATE gatepass.sessions
      SET (${changedColumns}) = ROW ($14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
      WHERE sid = $1
        AND ROW (${changedColumns}) IS NOT DISTINCT FROM ROW ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
      RETURNING sid, revoked_at_ms
    ), entry AS (
      SELECT 'session' AS kind, sid AS id, revoked_at_ms AS at_ms, $2::bigint AS kept_ms
      FROM replaced WHERE revoked_at_ms IS NOT NULL
    ), ${appendTo('entry')}
    SELECT 1 FROM replaced`,
}
