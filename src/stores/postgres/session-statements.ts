import type { Schema } from '../migrations.ts'
import type { Statement } from './database.ts'
import { oneTimeMigration } from './one-time.ts'
import { appendTo, revocationsMigration } from './revocation-log.ts'

export const schema: Schema = {
  name: 'sessions',
  migrations: [
    {
      name: 'sessions',
      // Room is left on each page for the next version of its rows. Fixed widths come first, so
      // that nothing is padded.
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

/** By name: a statement that is prepared must go on working when a column is added. */
const columns = `sid, sub, client_id, scope, amr, user_agent, created_at_ms, ends_at_ms,
  expires_at_ms, generation, minted_at_ms, presented, idempotency_key, revoked_at_ms, jkt,
  first_retry_at_ms, last_retry_at_ms, other_key, replay_keys, late_replay_at_ms`

export const insert: Statement = {
  name: 'insert session',
  text: `
    INSERT INTO gatepass.sessions (${columns})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
      $20)`,
}

export const select: Statement = {
  name: 'select session',
  text: `
    SELECT ${columns} FROM gatepass.sessions
    WHERE sid = $1 AND revoked_at_ms IS NULL AND $2 < expires_at_ms`,
}

export const selectBySub: Statement = {
  name: 'select sessions by sub',
  text: `
    SELECT ${columns} FROM gatepass.sessions
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
 * In the order of their ids, so that two of these do not wait for one another. Noted with no live
 * session too: an access token may outlive the session that it came from.
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
 * Ends some sessions, those behind a sid in the order of their ids, as `revokeAll` does.
 *
 * Parameters: 1 the sid before, 2 created before, 3 now, 4 kept, 5 how many are looked at.
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
 * Looks at some rows in the order in which they lie in the table, and deletes those that have
 * expired. An index on the expiry would have to change with every rotation. A row that is refreshed
 * meanwhile stays: its new version is looked at again before the delete.
 *
 * Parameters: 1 the place of the row before, 2 now, 3 how many.
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
