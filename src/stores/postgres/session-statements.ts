import type { Schema } from '../migrations.ts'
import { replayKeyBytes, replayKeysBytes } from '../rotation.ts'
import { sessionColumns } from '../sql-rows.ts'
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
  text: `
    SELECT ${sessionColumns} FROM gatepass.sessions
    WHERE sid = $1 AND revoked_at_ms IS NULL AND $2 < expires_at_ms`,
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

const isWithinGrace = (column: string) =>
  `(${column} IS NOT NULL AND greatest(0, $4::bigint - ${column}) < $5::bigint)`

/** The part of the request's Idempotency-Key that `replay_keys` stores. */
const shortKey = `substring($3::bytea, 1, ${replayKeyBytes})`

/** The digest of the request's Idempotency-Key, or `noKey` of rotation.ts. */
const keyOrNone = `coalesce($3, decode(repeat('00', 32), 'hex'))`

/**
 * `decideRotation` as one statement. `held` locks the row, and continues with its newest version (READ
 * COMMITTED). No indexed column changes (a heap-only update). Parameters: sid, generation, Idempotency-Key,
 * now, grace, idle, revoked kept, proven thumbprint.
 */
export const rotate: Statement = {
  name: 'rotate',
  rowMode: 'array',
  text: `
    WITH held AS (
      SELECT *,
        $2::bigint - generation AS ahead,
        coalesce(idempotency_key = $3::bytea, false) AS is_retry,
        coalesce(position(${shortKey} in replay_keys) > 0, false) AS is_replay,
        ${isWithinGrace('minted_at_ms')} AS is_young,
        ${isWithinGrace('last_retry_at_ms')} AS is_retried
      FROM gatepass.sessions WHERE sid = $1
      FOR NO KEY UPDATE
    ), decided AS MATERIALIZED (
      SELECT *,
        CASE
          WHEN revoked_at_ms IS NOT NULL THEN 'revoked'
          WHEN $4 >= expires_at_ms THEN 'expired'
          WHEN jkt IS DISTINCT FROM $8 AND jkt IS NOT NULL THEN 'unproven'
          WHEN ahead > 0 THEN CASE WHEN $5 = 0 THEN 'rotate' ELSE 'recover' END
          WHEN ahead = 0 THEN CASE
            WHEN is_young OR is_retried THEN CASE
              WHEN presented AND (is_replay OR $3 IS NULL) THEN 'replay'
              ELSE 'note presented'
            END
            WHEN is_replay AND late_replay_at_ms IS NULL THEN 'note late replay'
            WHEN is_replay AND ${isWithinGrace('late_replay_at_ms')} THEN 'replay'
            ELSE 'rotate'
          END
          WHEN ahead < -1 THEN 'revoke'
          WHEN is_retry AND NOT presented THEN 'note retry'
          WHEN is_young THEN 'replay'
          WHEN is_retry THEN CASE WHEN is_retried THEN 'replay' ELSE 'revoke' END
          WHEN NOT ${isWithinGrace('first_retry_at_ms')} THEN 'revoke'
          WHEN other_key IS NULL THEN 'note other key'
          WHEN other_key = ${keyOrNone} THEN 'replay'
          ELSE 'revoke'
        END AS step
      FROM held
    ), sorted AS MATERIALIZED (
      SELECT *,
        step IN ('rotate', 'recover') AS mints,
        step = 'revoke' AS ends,
        step NOT IN ('revoked', 'expired', 'unproven', 'replay') AS changes
      FROM decided
    ), result AS (
      SELECT sid, sub, client_id, scope, amr, user_agent, created_at_ms, ends_at_ms, jkt,
        changes,
        CASE
          WHEN step = 'rotate' THEN 'rotated'
          WHEN ends THEN 'reused'
          WHEN step IN ('revoked', 'expired', 'unproven') THEN step
          ELSE 'replayed'
        END AS outcome,
        CASE step WHEN 'rotate' THEN $2 + 1 WHEN 'recover' THEN $2 ELSE generation END
          AS generation,
        CASE WHEN mints THEN $4 ELSE minted_at_ms END AS minted_at_ms,
        CASE step WHEN 'rotate' THEN false WHEN 'recover' THEN true
          WHEN 'note presented' THEN true ELSE presented END AS presented,
        CASE step WHEN 'rotate' THEN $3 WHEN 'recover' THEN NULL ELSE idempotency_key END
          AS idempotency_key,
        CASE WHEN mints THEN NULL WHEN step = 'note retry' THEN coalesce(first_retry_at_ms, $4)
          ELSE first_retry_at_ms END AS first_retry_at_ms,
        CASE WHEN mints THEN NULL WHEN step = 'note retry' THEN $4 ELSE last_retry_at_ms END
          AS last_retry_at_ms,
        CASE WHEN mints THEN NULL WHEN step = 'note other key' THEN ${keyOrNone} ELSE other_key END
          AS other_key,
        CASE
          WHEN step = 'rotate' THEN NULL
          WHEN step = 'recover' THEN ${shortKey}
          WHEN step = 'note presented' AND $3 IS NOT NULL AND NOT is_replay
            THEN substring(${shortKey} || coalesce(replay_keys, ''), 1, ${replayKeysBytes})
          ELSE replay_keys
        END AS replay_keys,
        CASE WHEN mints THEN NULL WHEN step = 'note late replay' THEN $4 ELSE late_replay_at_ms END
          AS late_replay_at_ms,
        CASE WHEN mints THEN least($4 + $6::bigint, ends_at_ms) WHEN ends THEN $4 + $7::bigint
          ELSE expires_at_ms END AS expires_at_ms,
        CASE WHEN ends THEN $4 ELSE revoked_at_ms END AS revoked_at_ms
      FROM sorted
    ), saved AS (
      UPDATE gatepass.sessions AS stored SET
        generation = result.generation,
        minted_at_ms = result.minted_at_ms,
        presented = result.presented,
        idempotency_key = result.idempotency_key,
        first_retry_at_ms = result.first_retry_at_ms,
        last_retry_at_ms = result.last_retry_at_ms,
        other_key = result.other_key,
        replay_keys = result.replay_keys,
        late_replay_at_ms = result.late_replay_at_ms,
        expires_at_ms = result.expires_at_ms,
        revoked_at_ms = result.revoked_at_ms
      FROM result WHERE stored.sid = result.sid AND result.changes
    ), reuse AS (
      SELECT 'session' AS kind, sid AS id, $4 AS at_ms, $7 AS kept_ms
      FROM result WHERE outcome = 'reused'
    ), ${appendTo('reuse')}
    SELECT outcome, ${sessionColumns} FROM result`,
}
