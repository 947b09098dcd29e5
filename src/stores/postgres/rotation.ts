import type { Statement } from './database.ts'
import { appendTo } from './revocations.ts'

/**
 * Invariant 4 as one statement: decideRotation() of ../rotation.ts in SQL, where a test holds the
 * two against one another.
 *
 * `held` locks the row. A statement that had to wait for the lock goes on with the row's newest
 * version (READ COMMITTED), so of many at once each sees what the one before it has made; and what
 * is decided upon can't change any more. A replay that changes nothing leaves the row alone. No indexed
 * column changes, so the new version stays beside the old one on its page (a heap-only update).
 * MATERIALIZED keeps the planner from repeating the rule in each place that uses its outcome, which
 * costs a quarter more time.
 *
 * Parameters: 1 sid, 2 generation, 3 idempotency key, 4 now, 5 grace, 6 idle, 7 revoked kept,
 * 8 the key that the request has.
 */
export const rotate: Statement = {
  name: 'rotate',
  text: `
    WITH held AS (
      SELECT *,
        $2::bigint - generation AS ahead,
        greatest(0, $4::bigint - minted_at_ms) < $5::bigint AS within_grace,
        $2::bigint - generation = -1 AND NOT presented
          AND coalesce(idempotency_key = $3::bytea, false) AS retries
      FROM gatepass.sessions WHERE sid = $1
      FOR NO KEY UPDATE
    ), judged AS MATERIALIZED (
      SELECT *,
        CASE
          WHEN revoked_at_ms IS NOT NULL THEN 'revoked'
          WHEN $4 >= expires_at_ms THEN 'expired'
          WHEN jkt IS DISTINCT FROM $8 AND jkt IS NOT NULL THEN 'unproven'
          WHEN ahead > 0 THEN CASE WHEN $5 = 0 THEN 'rotated' ELSE 'replayed' END
          WHEN ahead = 0 THEN CASE WHEN within_grace THEN 'replayed' ELSE 'rotated' END
          WHEN retries OR (ahead = -1 AND within_grace) THEN 'replayed'
          ELSE 'reused'
        END AS outcome
      FROM held
    ), sorted AS MATERIALIZED (
      SELECT *,
        outcome = 'rotated' OR (outcome = 'replayed' AND (ahead > 0 OR retries)) AS mints,
        outcome = 'replayed' AND ahead = 0 AND NOT presented AS arrives,
        outcome = 'reused' AS ends
      FROM judged
    ), decided AS (
      SELECT sid, sub, client_id, scope, amr, user_agent, created_at_ms, ends_at_ms, jkt,
        outcome,
        mints OR arrives OR ends AS changes,
        CASE WHEN outcome = 'rotated' THEN $2 + 1 WHEN mints THEN greatest($2, generation)
          ELSE generation END AS generation,
        CASE WHEN mints THEN $4 ELSE minted_at_ms END AS minted_at_ms,
        CASE WHEN mints THEN outcome = 'replayed' AND ahead > 0 ELSE presented OR arrives END
          AS presented,
        CASE WHEN mints THEN $3 ELSE idempotency_key END AS idempotency_key,
        CASE
          WHEN mints THEN least($4 + $6::bigint, ends_at_ms)
          WHEN ends THEN $4 + $7::bigint
          ELSE expires_at_ms
        END AS expires_at_ms,
        CASE WHEN ends THEN $4 ELSE revoked_at_ms END AS revoked_at_ms
      FROM sorted
    ), saved AS (
      UPDATE gatepass.sessions AS stored SET
        generation = decided.generation,
        minted_at_ms = decided.minted_at_ms,
        presented = decided.presented,
        idempotency_key = decided.idempotency_key,
        expires_at_ms = decided.expires_at_ms,
        revoked_at_ms = decided.revoked_at_ms
      FROM decided WHERE stored.sid = decided.sid AND decided.changes
    ), reuse AS (
      SELECT 'session' AS kind, sid AS id, $4 AS at_ms, $7 AS kept_ms
      FROM decided WHERE outcome = 'reused'
    ), ${appendTo('reuse')}
    SELECT * FROM decided`,
}
