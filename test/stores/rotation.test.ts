import t from 'tap'
import { digest } from '../../src/core/secrets.ts'
import type { RotationRequest, Session } from '../../src/stores/ports.ts'
import {
  decideRotation,
  newGeneration,
  noKey,
  replayKeyBytes,
  revoke,
} from '../../src/stores/rotation.ts'
import fc from '../support/properties.ts'
import { RuleStore } from '../support/rule-store.ts'
import { policy, rotation, session, t0 } from '../support/sessions.ts'
import { sessionWorld } from './session-world.ts'

const key = digest('attempt-1')
const otherKey = digest('attempt-2')
const thirdKey = digest('attempt-3')
const eightKeys = Array.from({ length: 8 }, (_, n) => digest(`replay-${n}`))
const day_ms = 86_400_000
const remembered = (...keys: Buffer[]) =>
  Buffer.concat(keys.map((one) => one.subarray(0, replayKeyBytes)))
const strict = { ...policy, graceMs: 0 }

/** Generation 5, minted at t0 by a request that carried `key`, not seen since. */
const fifth = (changes: Partial<Session> = {}) =>
  session({ generation: 5, idempotencyKey: key, ...changes })

interface Row {
  readonly title: string
  readonly session: Session
  readonly request: Partial<RotationRequest>
  readonly outcome: string
  readonly after: Partial<Session>
}

const unchanged = { generation: 5, mintedAtMs: t0, revokedAtMs: null }
const late = t0 + policy.graceMs

const table: Row[] = [
  {
    title: 'the current one after grace is replaced',
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
    title: 'the current one within grace is answered again, and known to have arrived',
    session: fifth(),
    request: { generation: 5, nowMs: late - 1 },
    outcome: 'replayed',
    after: { ...unchanged, presented: true },
  },
  {
    title: 'the one before within grace gets the current one',
    session: fifth({ presented: true }),
    request: { generation: 4, nowMs: late - 1 },
    outcome: 'replayed',
    after: unchanged,
  },
  {
    title: 'a retry days later gets the current one; neither grace period nor session grows',
    session: fifth({ expiresAtMs: t0 + 14 * day_ms, endsAtMs: t0 + 90 * day_ms }),
    request: { generation: 4, nowMs: t0 + 3 * day_ms, idempotencyKey: key },
    outcome: 'replayed',
    after: {
      ...unchanged,
      presented: false,
      idempotencyKey: key,
      firstRetryAtMs: t0 + 3 * day_ms,
      lastRetryAtMs: t0 + 3 * day_ms,
      expiresAtMs: t0 + 14 * day_ms,
    },
  },
  {
    title: 'the first retry keeps its time when another follows',
    session: fifth({ firstRetryAtMs: t0 + 1, lastRetryAtMs: t0 + 1 }),
    request: { generation: 4, nowMs: late + 2, idempotencyKey: key },
    outcome: 'replayed',
    after: { ...unchanged, firstRetryAtMs: t0 + 1, lastRetryAtMs: late + 2 },
  },
  {
    title: 'the one before with another key, after grace, is reuse',
    session: fifth(),
    request: { generation: 4, nowMs: late, idempotencyKey: otherKey },
    outcome: 'reused',
    after: { revokedAtMs: late, expiresAtMs: late + policy.revokedKeptMs },
  },
  {
    title: 'the same without a key is reuse',
    session: fifth(),
    request: { generation: 4, nowMs: late },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'a retry once the current one was seen is reuse',
    session: fifth({ presented: true }),
    request: { generation: 4, nowMs: late, idempotencyKey: key },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'a copy of the last retry, though the current one was seen, gets the current one',
    session: fifth({ presented: true, firstRetryAtMs: t0 + 1, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + policy.graceMs - 1, idempotencyKey: key },
    outcome: 'replayed',
    after: { ...unchanged, firstRetryAtMs: t0 + 1, lastRetryAtMs: late },
  },
  {
    title: 'the same a grace period after the last retry is reuse',
    session: fifth({ presented: true, firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + policy.graceMs, idempotencyKey: key },
    outcome: 'reused',
    after: { revokedAtMs: late + policy.graceMs },
  },
  {
    title: 'another key within the grace period of the first retry gets the current one, once',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + policy.graceMs - 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, otherKey },
  },
  {
    title: 'a copy of that request gets it too',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late, otherKey }),
    request: { generation: 4, nowMs: late + 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, otherKey },
  },
  {
    title: 'a second other key is reuse',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late, otherKey }),
    request: { generation: 4, nowMs: late + 1, idempotencyKey: thirdKey },
    outcome: 'reused',
    after: { revokedAtMs: late + 1 },
  },
  {
    title: 'no key counts as another key',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late + 1 },
    outcome: 'replayed',
    after: { ...unchanged, otherKey: noKey },
  },
  {
    title: 'no key after another key is reuse',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late, otherKey }),
    request: { generation: 4, nowMs: late + 1 },
    outcome: 'reused',
    after: { revokedAtMs: late + 1 },
  },
  {
    title: 'later retries do not let another key in',
    session: fifth({ firstRetryAtMs: t0 + 1, lastRetryAtMs: late + policy.graceMs }),
    request: { generation: 4, nowMs: late + policy.graceMs + 1, idempotencyKey: otherKey },
    outcome: 'reused',
    after: { revokedAtMs: late + policy.graceMs + 1 },
  },
  {
    title: 'the current one within the grace period of the last retry is not replaced',
    session: fifth({ firstRetryAtMs: t0 + 1, lastRetryAtMs: late }),
    request: { generation: 5, nowMs: late + policy.graceMs - 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, presented: true, replayKeys: remembered(otherKey) },
  },
  {
    title: 'the current one within grace is known by its key afterwards',
    session: fifth({ presented: true, replayKeys: remembered(otherKey) }),
    request: { generation: 5, nowMs: late - 1, idempotencyKey: thirdKey },
    outcome: 'replayed',
    after: { ...unchanged, replayKeys: remembered(thirdKey, otherKey) },
  },
  {
    title: 'eight keys are known; the ninth displaces the first',
    session: fifth({ presented: true, replayKeys: remembered(...eightKeys) }),
    request: { generation: 5, nowMs: late - 1, idempotencyKey: thirdKey },
    outcome: 'replayed',
    after: { ...unchanged, replayKeys: remembered(thirdKey, ...eightKeys.slice(0, -1)) },
  },
  {
    title: 'the oldest of them is known too',
    session: fifth({ presented: true, replayKeys: remembered(...eightKeys) }),
    request: { generation: 5, nowMs: late, idempotencyKey: eightKeys.at(-1) ?? null },
    outcome: 'replayed',
    after: { ...unchanged, lateReplayAtMs: late },
  },
  {
    title: 'a request without a key displaces none that is known',
    session: fifth({ presented: true, replayKeys: remembered(otherKey) }),
    request: { generation: 5, nowMs: late - 1 },
    outcome: 'replayed',
    after: { ...unchanged, replayKeys: remembered(otherKey) },
  },
  {
    title: 'the current one with a key it was replayed for is not replaced, days later',
    session: fifth({
      presented: true,
      replayKeys: remembered(otherKey),
      expiresAtMs: t0 + 14 * day_ms,
    }),
    request: { generation: 5, nowMs: t0 + 3 * day_ms, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, lateReplayAtMs: t0 + 3 * day_ms, expiresAtMs: t0 + 14 * day_ms },
  },
  {
    title: 'nor by a copy of that request',
    session: fifth({ presented: true, replayKeys: remembered(otherKey), lateReplayAtMs: late }),
    request: { generation: 5, nowMs: late + policy.graceMs - 1, idempotencyKey: otherKey },
    outcome: 'replayed',
    after: { ...unchanged, lateReplayAtMs: late },
  },
  {
    title: 'a grace period after that it is replaced: nobody polls with one key for ever',
    session: fifth({ presented: true, replayKeys: remembered(otherKey), lateReplayAtMs: late }),
    request: { generation: 5, nowMs: late + policy.graceMs, idempotencyKey: otherKey },
    outcome: 'rotated',
    after: { generation: 6, replayKeys: null, lateReplayAtMs: null, idempotencyKey: otherKey },
  },
  {
    title: 'with a key that is not known it is replaced',
    session: fifth({ presented: true, replayKeys: remembered(otherKey) }),
    request: { generation: 5, nowMs: late, idempotencyKey: thirdKey },
    outcome: 'rotated',
    after: { generation: 6, replayKeys: null },
  },
  {
    title: 'a new generation starts with nothing of the one before',
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
    title: 'two generations back is reuse even within grace',
    session: fifth(),
    request: { generation: 3, nowMs: t0 + 1, idempotencyKey: key },
    outcome: 'reused',
    after: { revokedAtMs: t0 + 1 },
  },
  {
    title: 'one that the store has forgotten becomes current',
    session: fifth(),
    request: { generation: 8, nowMs: t0 + 1 },
    outcome: 'replayed',
    after: { ...newGeneration(8, t0 + 1), presented: true },
  },
  {
    title: 'a copy of that request finds it current, also after grace',
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
    title: 'without grace, the current one is replaced in the same millisecond',
    session: fifth(),
    request: { generation: 5, nowMs: t0, policy: strict },
    outcome: 'rotated',
    after: { generation: 6 },
  },
  {
    title: 'without grace, the one before is reuse in the same millisecond',
    session: fifth(),
    request: { generation: 4, nowMs: t0, policy: strict },
    outcome: 'reused',
    after: { revokedAtMs: t0 },
  },
  {
    title: 'without grace, a retry is answered as long as the current one was not seen',
    session: fifth(),
    request: { generation: 4, nowMs: late, idempotencyKey: key, policy: strict },
    outcome: 'replayed',
    after: unchanged,
  },
  {
    title: 'without grace, a retry lets nobody else in, in the same millisecond',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late, idempotencyKey: otherKey, policy: strict },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'without grace, a retry does not keep the current one from being replaced',
    session: fifth({ firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 5, nowMs: late, policy: strict },
    outcome: 'rotated',
    after: { generation: 6 },
  },
  {
    title: 'without grace, a retry after the current one was seen is reuse',
    session: fifth({ presented: true, firstRetryAtMs: late, lastRetryAtMs: late }),
    request: { generation: 4, nowMs: late, idempotencyKey: key, policy: strict },
    outcome: 'reused',
    after: { revokedAtMs: late },
  },
  {
    title: 'without grace, a forgotten one is replaced at once',
    session: fifth(),
    request: { generation: 8, nowMs: t0 + 1, policy: strict },
    outcome: 'rotated',
    after: { generation: 9, mintedAtMs: t0 + 1, presented: false },
  },
  {
    title: 'a replica whose clock is behind sees a young generation as young',
    session: fifth(),
    request: { generation: 5, nowMs: t0 - 5_000 },
    outcome: 'replayed',
    after: { ...unchanged, presented: true },
  },
  {
    title: 'a revoked session stays revoked, whatever comes',
    session: revoke(fifth(), t0, policy.revokedKeptMs),
    request: { generation: 9, nowMs: t0 + 1 },
    outcome: 'revoked',
    after: { generation: 5, revokedAtMs: t0 },
  },
  {
    title: 'an idle session has expired',
    session: fifth(),
    request: { generation: 5, nowMs: t0 + policy.idleMs },
    outcome: 'expired',
    after: unchanged,
  },
  {
    title: 'no refresh moves the absolute end',
    session: fifth({ endsAtMs: late + 1_000 }),
    request: { generation: 5, nowMs: late },
    outcome: 'rotated',
    after: { expiresAtMs: late + 1_000 },
  },
]

for (const row of table) {
  t.test(row.title, async (t) => {
    const decision = decideRotation(row.session, rotation(row.request))
    t.equal(decision.outcome, row.outcome)
    t.match(decision.session, row.after)
  })
}

/** A client that follows the rules: what it holds, and whether an answer of its was lost. */
interface Client {
  generation: number
  pendingKey: Buffer | null
}

t.test('property: an honest client that retries with its key is never signed out', async () => {
  const step = fc.record({
    waitMs: fc.oneof(fc.integer({ min: 0, max: 30_000 }), fc.integer({ min: 0, max: 600_000 })),
    lost: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let state = session({ endsAtMs: Number.MAX_SAFE_INTEGER })
      let nowMs = t0
      const client: Client = { generation: 0, pendingKey: null }
      for (const [index, { waitMs, lost }] of steps.entries()) {
        nowMs += waitMs
        client.pendingKey ??= digest(`attempt ${index}`)
        const decision = decideRotation(
          state,
          rotation({ generation: client.generation, nowMs, idempotencyKey: client.pendingKey }),
        )
        state = decision.session
        if (decision.outcome !== 'rotated' && decision.outcome !== 'replayed') return false
        if (lost) continue
        client.generation = state.generation
        client.pendingKey = null
      }
      return true
    }),
  )
})

t.test(
  'property: when two parties refresh outside one grace window, the session dies',
  async () => {
    const waitMs = fc.integer({ min: policy.graceMs, max: policy.idleMs - 1 })
    fc.assert(
      fc.property(fc.boolean(), waitMs, waitMs, waitMs, (thiefFirst, first, second, third) => {
        let state = session({ endsAtMs: Number.MAX_SAFE_INTEGER })
        let nowMs = t0
        const held = { owner: 0, thief: 0 }
        const order = thiefFirst ? (['thief', 'owner'] as const) : (['owner', 'thief'] as const)
        const outcomes = [first, second, third].map((wait, index) => {
          nowMs += wait
          const who = order[index % 2] ?? 'owner'
          const decision = decideRotation(state, rotation({ generation: held[who], nowMs }))
          state = decision.session
          held[who] = state.generation
          return decision.outcome
        })
        return outcomes.includes('reused') && state.revokedAtMs !== null
      }),
    )
  },
)

t.test('property: no request changes a revoked session', async () => {
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.nat(20),
      fc.nat(1_000_000),
      fc.boolean(),
      (have, sent, ms, keyed) => {
        const dead = revoke(session({ generation: have }), t0, policy.revokedKeptMs)
        const decision = decideRotation(
          dead,
          rotation({ generation: sent, nowMs: t0 + ms, idempotencyKey: keyed ? key : null }),
        )
        return decision.outcome === 'revoked' && decision.session === dead
      },
    ),
  )
})

sessionWorld(
  t,
  async () => {
    const store = new RuleStore()
    // A session that is created again is as it was then: the writes since are lost.
    return { store, rollBack: (session) => store.create(session) }
  },
  { runs: 500 },
)
