import { digest } from '../../src/core/secrets.ts'
import type { RotationOutcome, RotationRequest, Session } from '../../src/stores/ports.ts'
import { newGeneration, noKey, replayKeyBytes, revoke } from '../../src/stores/rotation.ts'
import { policy, session, t0 } from '../support/sessions.ts'

const key = digest('attempt-1')
const otherKey = digest('attempt-2')
const thirdKey = digest('attempt-3')
const eightKeys = Array.from({ length: 8 }, (_, n) => digest(`replay-${n}`))
const dayMs = 86_400_000
const remembered = (...keys: Buffer[]) =>
  Buffer.concat(keys.map((one) => one.subarray(0, replayKeyBytes)))
const thumbprint = digest('a key').toString('base64url')
const strict = { ...policy, graceMs: 0 }

/** A session of generation 5, minted at t0 by a request with `key` and not presented. */
const fifth = (changes: Partial<Session> = {}) =>
  session({ generation: 5, idempotencyKey: key, ...changes })

/** One row of invariant 4. */
export interface RotationCase {
  readonly title: string
  /** The session before the request. */
  readonly session: Session
  readonly request: Partial<RotationRequest>
  readonly outcome: RotationOutcome
  /** Fields of the session after the request. */
  readonly after: Partial<Session>
}

const unchanged = { generation: 5, mintedAtMs: t0, revokedAtMs: null }
const late = t0 + policy.graceMs

/** Every store decides all of these, and so does `decideRotation`. */
export const rotationCases: readonly RotationCase[] = [
  {
    title: 'the current generation after the grace period: rotated',
    session: fifth(),
    request: { generation: 5, nowMs: late, idempotencyKey: otherKey },
    outcome: 'rotated',
    after: {
      generation: 6,
      mintedAtMs: late,
      presented: false,
      idempotencyKey: otherKey,
      expiresAtMs: late + policy.idleMs,
    },
  },
  {
    title: 'the current generation within the grace period: replayed, and marked as presented',
    session: fifth(),
    request: { generation: 5, nowMs: late - 1 },
    outcome: 'replayed',
    after: { ...unchanged, presented: true },
  },
  {
    title: 'the previous generation within the grace period: replayed',
    session: fifth({ presented: true }),
    request: { generation: 4, nowMs: late - 1 },
    outcome: 'replayed',
    after: unchanged,
  },
  {
    title: 'a retry days later: replayed, and extends neither the grace period nor the session',
    session: fifth({ expiresAtMs: t0 + 14 * dayMs, endsAtMs: t0 + 90 * dayMs }),
    request: { generation: 4, nowMs: t0 + 3 * dayMs, idempotencyKey: key },
    outcome: 'replayed',
    after: {
      ...unchanged,
      presented: false,
      idempotencyKey: key,
      firstRetryAtMs: t0 + 3 * dayMs,
      lastRetryAtMs: t0 + 3 * dayMs,
      expiresAtMs: t0 + 14 * dayMs,
    },
  },
  {
    title: 'a second retry: replayed, and the time of the first retry stays',
    session: fifth({ firstRetryAtMs: t0 + 1, lastRetryAtMs: t0 + 1 }),
    request: { generation: 4, nowMs: late + 2, idempotencyKey: key },
    outcome: 'replayed',
    after: { ...unchanged, firstRetryAtMs: t0 + 1, lastRetryAtMs: late + 2 },
  },
  {
    title: 'the previous generation with another key after the grace period: reused',
    session: fifth(),
    request: { generation: 4, nowMs: late, idempotencyKey: otherKey },
    outcome: 'reused',
    after: { revokedAtMs: late, expiresAtMs: late + policy.revokedKeptMs },
  },
  {
    title: 'the previous generation without a key after the grace period: reused',
    session: fifth(),
    request: { generation: 4, nowMs: late },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'a retry after the current generation was presented: reused',
    session: fifth({ presented: true }),
    request: { generation: 4, nowMs: late, idempotencyKey: key },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'a copy of the last retry after the current generation was presented: replayed',
    session: fifth({ presented: true, firstRetryAtMs: t0 + 1, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + policy.graceMs - 1, idempotencyKey: key },
    outcome: 'replayed',
    after: { ...unchanged, firstRetryAtMs: t0 + 1, lastRetryAtMs: late },
  },
  {
    title: 'a copy of the last retry after another grace period: reused',
    session: fifth({ presented: true, firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + policy.graceMs, idempotencyKey: key },
    outcome: 'reused',
    after: { revokedAtMs: late + policy.graceMs },
  },
  {
    title: 'another key within the grace period of the first retry: replayed',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + policy.graceMs - 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, otherKey },
  },
  {
    title: 'a copy of the request with the other key: replayed',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late, otherKey }),
    request: { generation: 4, nowMs: late + 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, otherKey },
  },
  {
    title: 'a second other key: reused',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late, otherKey }),
    request: { generation: 4, nowMs: late + 1, idempotencyKey: thirdKey },
    outcome: 'reused',
    after: { revokedAtMs: late + 1 },
  },
  {
    title: 'no key within the grace period of the first retry: replayed, as another key',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + 1 },
    outcome: 'replayed',
    after: { ...unchanged, otherKey: noKey },
  },
  {
    title: 'no key after another key: reused',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late, otherKey }),
    request: { generation: 4, nowMs: late + 1 },
    outcome: 'reused',
    after: { revokedAtMs: late + 1 },
  },
  {
    title:
      'another key after the grace period of the first retry: reused, whenever the last retry was',
    session: fifth({ firstRetryAtMs: t0 + 1, lastRetryAtMs: late + policy.graceMs }),
    request: { generation: 4, nowMs: late + policy.graceMs + 1, idempotencyKey: otherKey },
    outcome: 'reused',
    after: { revokedAtMs: late + policy.graceMs + 1 },
  },
  {
    title: 'the current generation within the grace period of the last retry: replayed',
    session: fifth({ firstRetryAtMs: t0 + 1, lastRetryAtMs: late }),
    request: { generation: 5, nowMs: late + policy.graceMs - 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, presented: true, replayKeys: remembered(otherKey) },
  },
  {
    title: 'the current generation within the grace period: its key is remembered',
    session: fifth({ presented: true, replayKeys: remembered(otherKey) }),
    request: { generation: 5, nowMs: late - 1, idempotencyKey: thirdKey },
    outcome: 'replayed',
    after: { ...unchanged, replayKeys: remembered(thirdKey, otherKey) },
  },
  {
    title: 'a ninth key displaces the oldest of eight',
    session: fifth({ presented: true, replayKeys: remembered(...eightKeys) }),
    request: { generation: 5, nowMs: late - 1, idempotencyKey: thirdKey },
    outcome: 'replayed',
    after: { ...unchanged, replayKeys: remembered(thirdKey, ...eightKeys.slice(0, -1)) },
  },
  {
    title: 'the oldest of eight keys is remembered',
    session: fifth({ presented: true, replayKeys: remembered(...eightKeys) }),
    request: { generation: 5, nowMs: late, idempotencyKey: eightKeys.at(-1) ?? null },
    outcome: 'replayed',
    after: { ...unchanged, lateReplayAtMs: late },
  },
  {
    title: 'a request without a key displaces no key',
    session: fifth({ presented: true, replayKeys: remembered(otherKey) }),
    request: { generation: 5, nowMs: late - 1 },
    outcome: 'replayed',
    after: { ...unchanged, replayKeys: remembered(otherKey) },
  },
  {
    title: 'the current generation with a remembered key, days later: replayed',
    session: fifth({
      presented: true,
      replayKeys: remembered(otherKey),
      expiresAtMs: t0 + 14 * dayMs,
    }),
    request: { generation: 5, nowMs: t0 + 3 * dayMs, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, lateReplayAtMs: t0 + 3 * dayMs, expiresAtMs: t0 + 14 * dayMs },
  },
  {
    title: 'a copy of a late replay: replayed',
    session: fifth({ presented: true, replayKeys: remembered(otherKey), lateReplayAtMs: late }),
    request: { generation: 5, nowMs: late + policy.graceMs - 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, lateReplayAtMs: late },
  },
  {
    title:
      'a remembered key a grace period after its late replay: rotated, so that nobody can poll with one key',
    session: fifth({ presented: true, replayKeys: remembered(otherKey), lateReplayAtMs: late }),
    request: { generation: 5, nowMs: late + policy.graceMs, idempotencyKey: otherKey },
    outcome: 'rotated',
    after: { generation: 6, replayKeys: null, lateReplayAtMs: null, idempotencyKey: otherKey },
  },
  {
    title: 'the current generation with an unknown key after the grace period: rotated',
    session: fifth({ presented: true, replayKeys: remembered(otherKey) }),
    request: { generation: 5, nowMs: late, idempotencyKey: thirdKey },
    outcome: 'rotated',
    after: { generation: 6, replayKeys: null },
  },
  {
    title: 'a new generation keeps no retry and no replay of the previous one',
    session: fifth({
      presented: true,
      firstRetryAtMs: t0,
      lastRetryAtMs: t0,
      otherKey,
      replayKeys: remembered(otherKey),
      lateReplayAtMs: t0,
    }),
    request: { generation: 5, nowMs: late, idempotencyKey: thirdKey },
    outcome: 'rotated',
    after: newGeneration(6, late, thirdKey),
  },
  {
    title: 'two generations back, within the grace period: reused',
    session: fifth(),
    request: { generation: 3, nowMs: t0 + 1, idempotencyKey: key },
    outcome: 'reused',
    after: { revokedAtMs: t0 + 1 },
  },
  {
    title: 'a generation that the store has lost: replayed, and becomes current',
    session: fifth(),
    request: { generation: 8, nowMs: t0 + 1 },
    outcome: 'replayed',
    after: { ...newGeneration(8, t0 + 1), presented: true },
  },
  {
    title: 'a copy of the request with a lost generation, after the grace period: replayed',
    session: fifth({
      generation: 8,
      presented: true,
      idempotencyKey: null,
      replayKeys: remembered(key),
    }),
    request: { generation: 8, nowMs: late, idempotencyKey: key },
    outcome: 'replayed',
    after: { generation: 8, mintedAtMs: t0 },
  },
  {
    title: 'no grace period, the current generation in the same millisecond: rotated',
    session: fifth(),
    request: { generation: 5, nowMs: t0, policy: strict },
    outcome: 'rotated',
    after: { generation: 6 },
  },
  {
    title: 'no grace period, the previous generation in the same millisecond: reused',
    session: fifth(),
    request: { generation: 4, nowMs: t0, policy: strict },
    outcome: 'reused',
    after: { revokedAtMs: t0 },
  },
  {
    title: 'no grace period, a retry before the current generation was presented: replayed',
    session: fifth(),
    request: { generation: 4, nowMs: late, idempotencyKey: key, policy: strict },
    outcome: 'replayed',
    after: unchanged,
  },
  {
    title: 'no grace period, another key in the millisecond of a retry: reused',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late, idempotencyKey: otherKey, policy: strict },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'no grace period, the current generation in the millisecond of a retry: rotated',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 5, nowMs: late, policy: strict },
    outcome: 'rotated',
    after: { generation: 6 },
  },
  {
    title: 'no grace period, a retry after the current generation was presented: reused',
    session: fifth({ presented: true, firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late, idempotencyKey: key, policy: strict },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'no grace period, a generation that the store has lost: rotated',
    session: fifth(),
    request: { generation: 8, nowMs: t0 + 1, policy: strict },
    outcome: 'rotated',
    after: { generation: 9, mintedAtMs: t0 + 1, presented: false },
  },
  {
    title: 'a clock that is behind, the current generation: replayed',
    session: fifth(),
    request: { generation: 5, nowMs: t0 - 5_000 },
    outcome: 'replayed',
    after: { ...unchanged, presented: true },
  },
  {
    title: 'a clock that was set back by the grace period, the current generation: rotated',
    session: fifth({ presented: true }),
    request: { generation: 5, nowMs: t0 - policy.graceMs },
    outcome: 'rotated',
    after: { generation: 6, mintedAtMs: t0 - policy.graceMs },
  },
  {
    title: 'a clock that was set back after a retry, the current generation: rotated',
    session: fifth({ firstRetryAtMs: t0 + dayMs, lastRetryAtMs: t0 + dayMs }),
    request: { generation: 5, nowMs: late },
    outcome: 'rotated',
    after: { generation: 6, mintedAtMs: late },
  },
  {
    title: 'a clock that was set back after a late replay, its key again: rotated',
    session: fifth({
      presented: true,
      replayKeys: remembered(otherKey),
      lateReplayAtMs: t0 + dayMs,
    }),
    request: { generation: 5, nowMs: late, idempotencyKey: otherKey },
    outcome: 'rotated',
    after: { generation: 6, mintedAtMs: late },
  },
  {
    title: 'a clock that was set back, the previous generation: replayed',
    session: fifth({ presented: true }),
    request: { generation: 4, nowMs: t0 - dayMs },
    outcome: 'replayed',
    after: unchanged,
  },
  {
    title: 'a revoked session: revoked, whatever the generation',
    session: revoke(fifth(), t0, policy.revokedKeptMs),
    request: { generation: 9, nowMs: t0 + 1 },
    outcome: 'revoked',
    after: { generation: 5, revokedAtMs: t0 },
  },
  {
    title: 'an idle session: expired',
    session: fifth(),
    request: { generation: 5, nowMs: t0 + policy.idleMs },
    outcome: 'expired',
    after: unchanged,
  },
  {
    title: 'a rotation does not extend the absolute end',
    session: fifth({ endsAtMs: late + 1_000 }),
    request: { generation: 5, nowMs: late },
    outcome: 'rotated',
    after: { expiresAtMs: late + 1_000 },
  },
  {
    title: 'a session bound to a key, without proof of the key: unproven',
    session: fifth({ jkt: thumbprint }),
    request: { generation: 5, nowMs: late },
    outcome: 'unproven',
    after: unchanged,
  },
  {
    title: 'a session bound to a key, with proof of another key: unproven, also for a reused token',
    session: fifth({ jkt: thumbprint }),
    request: { generation: 1, nowMs: late, jkt: digest('another').toString('base64url') },
    outcome: 'unproven',
    after: unchanged,
  },
  {
    title: 'a session bound to a key, with proof of the key: rotated',
    session: fifth({ jkt: thumbprint }),
    request: { generation: 5, nowMs: late, jkt: thumbprint },
    outcome: 'rotated',
    after: { generation: 6, jkt: thumbprint },
  },
  {
    title: 'a session bound to no key, with proof of a key: rotated, and bound to no key',
    session: fifth(),
    request: { generation: 5, nowMs: late, jkt: thumbprint },
    outcome: 'rotated',
    after: { generation: 6, jkt: null },
  },
]
