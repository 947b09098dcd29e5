import { replayKeyBytes, replayKeysBytes } from '../rotation.ts'
import type { Statement } from './database.ts'
import { appendTo } from './revocation-log.ts'

const isWithinGrace = (column: string) =>
  `(${column} IS NOT NULL AND greatest(0, $4::bigint - ${column}) < $5::bigint)`

/** What is remembered of the request's Idempotency-Key. */
const shortKey = `substring($3::bytea, 1, ${replayKeyBytes})`

/** The digest of the request's Idempotency-Key, or what stands for none: `noKey` of ../rotation.ts. */
const keyOrNone = `coalesce($3, decode(repeat('00', 32), 'hex'))`

/**
 * Invariant 4 as one statement: decideRotation() of ../rotation.ts in SQL. A test compares the two.
 *
 * `held` locks the row. A statement that waits for the lock goes on with the row's newest version
 * (READ COMMITTED), so it sees what the statements before it wrote. A replay that changes nothing
 * does not write the row. No indexed column changes, so the new version stays on the page of the old
 * one (a heap-only update). MATERIALIZED keeps the planner from evaluating the rule once for each
 * use of its outcome, which takes a quarter more time.
 *
 * Parameters: 1 sid, 2 generation, 3 Idempotency-Key, 4 now, 5 grace, 6 idle, 7 revoked kept,
 * 8 the thumbprint of the key that the request has proven.
 */
export const rotate: Statement = {
  name: 'rotate',
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
    SELECT * FROM result`,
}
