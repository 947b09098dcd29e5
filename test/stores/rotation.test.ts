import t from 'tap'
import { digest } from '../../src/core/secrets.ts'
import { decideRotation, revoke } from '../../src/stores/rotation.ts'
import fc from '../support/properties.ts'
import { RuleStore } from '../support/rule-store.ts'
import { policy, rotation, session, t0 } from '../support/sessions.ts'
import { rotationCases } from './rotation-cases.ts'
import { sessionWorld } from './session-world.ts'

for (const { title, session, request, outcome, after } of rotationCases) {
  t.test(title, async (t) => {
    const decision = decideRotation(session, rotation(request))
    t.equal(decision.outcome, outcome)
    t.match(decision.session, after)
  })
}

t.test('a copy of a replayed request changes nothing, so that no store writes it', async (t) => {
  for (const idempotencyKey of [null, digest('attempt')]) {
    const request = rotation({ idempotencyKey })
    const { session: replayed } = decideRotation(session(), request)
    t.equal(decideRotation(replayed, request).session, replayed)
  }
})

/** An honest client: the generation that it has, and the key of a request without a response. */
interface Client {
  generation: number
  pendingKey: Buffer | null
}

t.test('property: an honest client that retries with its key is never signed out', async () => {
  // A retry never extends a session: with many lost responses an idle one would expire.
  const ends = { endsAtMs: Number.MAX_SAFE_INTEGER, expiresAtMs: Number.MAX_SAFE_INTEGER }
  const lasting = { ...policy, idleMs: Number.MAX_SAFE_INTEGER }
  const step = fc.record({
    waitMs: fc.oneof(fc.integer({ min: 0, max: 30_000 }), fc.integer({ min: 0, max: 600_000 })),
    lost: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let state = session(ends)
      let nowMs = t0
      const client: Client = { generation: 0, pendingKey: null }
      for (const [index, { waitMs, lost }] of steps.entries()) {
        nowMs += waitMs
        client.pendingKey ??= digest(`attempt ${index}`)
        const { generation, pendingKey: idempotencyKey } = client
        const request = rotation({ generation, nowMs, idempotencyKey, policy: lasting })
        const decision = decideRotation(state, request)
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
  'property: when two parties refresh outside one grace period, the session ends',
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
          rotation({
            generation: sent,
            nowMs: t0 + ms,
            idempotencyKey: keyed ? digest('a key') : null,
          }),
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
    // Creating a session again discards later writes.
    return { store, rollBack: (session) => store.create(session) }
  },
  { runs: 500 },
)
