import t from 'tap'
import { activeKey, type KeyPolicy, keyState, leadMs, noticeMs } from '../../src/keys/lifecycle.ts'
import fc from '../support/properties.ts'
import { neverRefused } from './refusals.ts'
import { type Run, signings, simulate } from './simulation.ts'

/** Invariant 5 over whole histories: keys are published before they sign and after they stop. */

const policies: fc.Arbitrary<KeyPolicy> = fc
  .record({
    jwksMaxAgeMs: fc.integer({ min: 300, max: 20_000 }),
    clockSkewMs: fc.integer({ min: 0, max: 3_000 }),
    accessTtlMs: fc.integer({ min: 300, max: 20_000 }),
    rotationLeads: fc.integer({ min: 100, max: 400 }).map((percent) => percent / 100),
  })
  .map(({ rotationLeads, ...rest }) => {
    const lead = leadMs({ ...rest, rotationMs: 0 })
    return { ...rest, rotationMs: Math.floor(lead * rotationLeads) + 1 }
  })

/** A number from 0 to 1, evenly distributed, unlike `fc.double`. */
const part = fc.integer({ min: 0, max: 1_000 }).map((thousandths) => thousandths / 1_000)

/** Often a limit, because a limit shows that a margin is too small. */
const extreme = fc.oneof(fc.constantFrom(0, 1), part)

/** The lives of one replica: it runs, stops, and starts again with other settings. */
function livesOf(policy: KeyPolicy, beginMs: number): fc.Arbitrary<Run[]> {
  const life = fc.record({
    away: part,
    awake: part,
    ahead: extreme,
    pace: extreme,
    alg: fc.constantFrom('ES256' as const, 'RS256' as const),
    rotations: fc.array(extreme, { maxLength: 2 }),
    revocations: fc.array(fc.record({ when: extreme, which: extreme }), { maxLength: 2 }),
  })
  return fc.array(life, { minLength: 1, maxLength: 3 }).map((lives) => {
    let atMs = beginMs
    return lives.map(({ away, awake, ahead, pace, alg, rotations, revocations }) => {
      const startMs = atMs + Math.floor(away * 2 * policy.rotationMs)
      const lengthMs = 1 + Math.floor(awake * 2 * policy.rotationMs)
      atMs = startMs + lengthMs
      const within = (share: number) => startMs + Math.floor(share * (lengthMs - 1))
      return {
        startMs,
        endMs: atMs,
        aheadMs: Math.floor(ahead * policy.clockSkewMs),
        alg,
        everyMs: Math.ceil((noticeMs(policy) * (1 + pace)) / 2),
        rotations: rotations.map(within),
        revocations: revocations.map(({ when, which }) => ({ atMs: within(when), which })),
      }
    })
  })
}

const worlds = policies.chain((policy) =>
  fc.integer({ min: 0, max: 2 * policy.rotationMs }).chain((phaseMs) =>
    fc.record({
      policy: fc.constant(policy),
      replicas: fc.array(livesOf(policy, 1_700_000_000_000 + phaseMs), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
  ),
)

t.test('no verifier receives an unexpired token whose key it cannot know', async (t) => {
  fc.assert(
    fc.property(worlds, ({ policy, replicas }) => {
      const unrevoked = replicas.map((runs) => runs.map((run) => ({ ...run, revocations: [] })))
      neverRefused(unrevoked, policy)
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

t.test('a revocation makes no verifier refuse the tokens of other keys', async (t) => {
  fc.assert(
    fc.property(worlds, ({ policy, replicas }) => neverRefused(replicas, policy)),
    { numRuns: 1_000 },
  )
  t.pass()
})

/**
 * Two keys activate at one instant, and the first of them is revoked. Its replacement ends the activity
 * of the other key, which keeps signing on replicas that have not noticed the replacement.
 */
function sharedTurn(revoker: 'itself' | 'one behind', revokedAfterMs: number): Run[][] {
  const atMs = 1_700_000_000_000
  const idle = { alg: 'RS256' as const, everyMs: 200, rotations: [], revocations: [] }
  const revocations = [{ atMs: atMs + revokedAfterMs, which: 0.4 }]
  const first: Run = {
    ...idle,
    startMs: atMs + 1_000,
    endMs: atMs + 1_001,
    aheadMs: 0,
    alg: 'ES256',
    rotations: [atMs + 1_000],
  }
  // Its clock is ahead by all the skew. Both keys sign from 6,200 on, by the true time.
  const signer: Run = {
    ...idle,
    startMs: atMs + 4_000,
    endMs: atMs + 10_000,
    aheadMs: 1_000,
    rotations: [atMs + 4_000],
    revocations: revoker === 'itself' ? revocations : [],
  }
  const behind: Run = {
    ...idle,
    startMs: atMs + revokedAfterMs - 1,
    endMs: atMs + revokedAfterMs + 1,
    aheadMs: 0,
    revocations,
  }
  return revoker === 'itself' ? [[first, signer]] : [[first, signer], [behind]]
}

const sharedTurnPolicy: KeyPolicy = {
  rotationMs: 10_000,
  jwksMaxAgeMs: 1_000,
  clockSkewMs: 1_000,
  accessTtlMs: 500,
}

t.test('counterexample: a clock ahead creates a replacement after its activation', async (t) => {
  t.doesNotThrow(() => neverRefused(sharedTurn('itself', 6_201), sharedTurnPolicy))
})

t.test('counterexample: the clock furthest behind creates a replacement', async (t) => {
  t.doesNotThrow(() => neverRefused(sharedTurn('one behind', 7_001), sharedTurnPolicy))
})

t.test(
  'a replica that has read a revocation neither signs with nor publishes the key',
  async (t) => {
    let seen = 0
    fc.assert(
      fc.property(worlds, ({ policy, replicas }) => {
        const history = simulate(replicas.flat(), policy)
        for (const { run, fromMs, untilMs, keys } of history.spans) {
          for (const key of keys) {
            const revokedAtMs = history.revokedAtMs.get(key.kid) ?? Infinity
            if (revokedAtMs >= fromMs) continue
            seen++
            for (const atMs of [fromMs, untilMs]) {
              const state = keyState(key, keys, policy, atMs + run.aheadMs)
              if (state !== 'revoked') throw new Error(`${key.kid} is ${state} at ${atMs}`)
            }
          }
        }
        const late = signings(history).find(({ run, kid, fromMs }) => {
          const revokedAtMs = history.revokedAtMs.get(kid) ?? Infinity
          return fromMs >= revokedAtMs + run.everyMs
        })
        if (late !== undefined) throw new Error(`${late.kid} signs at ${late.fromMs}`)
      }),
      { numRuns: 500 },
    )
    t.ok(seen > 100, `${seen} looks at revoked keys`)
  },
)

t.test('a replica that has read the store can sign, even if any keys are revoked', async (t) => {
  fc.assert(
    fc.property(worlds, ({ policy, replicas }) => {
      const history = simulate(replicas.flat(), policy)
      for (const { run, fromMs, keys } of history.spans) {
        const active = activeKey(keys, fromMs + run.aheadMs)
        if (active === undefined) throw new Error(`there is none at ${fromMs}`)
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('while one replica runs, the key of each epoch activates on time', async (t) => {
  fc.assert(
    fc.property(policies, fc.nat(), (policy, phase) => {
      fc.pre(policy.rotationMs > leadMs(policy) + noticeMs(policy))
      const { rotationMs } = policy
      const startMs = 1_700_000_000_000 + (phase % rotationMs)
      const run: Run = {
        startMs,
        endMs: startMs + 6 * rotationMs,
        aheadMs: 0,
        alg: 'ES256',
        everyMs: noticeMs(policy),
        rotations: [],
        revocations: [],
      }
      const { spans } = simulate([run], policy)
      const turns = new Set(spans.flatMap(({ keys }) => keys.map((key) => key.activateAtMs)))
      // The second key may be late if the first was created right before its activation.
      const epoch = Math.ceil(startMs / rotationMs) + 1
      for (const number of [epoch, epoch + 1, epoch + 2]) {
        if (!turns.has(number * rotationMs)) throw new Error(`no turn at epoch ${number}`)
      }
    }),
    { numRuns: 100 },
  )
  t.pass()
})
