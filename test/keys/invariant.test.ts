import fc from 'fast-check'
import t from 'tap'
import { activeKey, type KeyPolicy, keyState, leadMs, pollMs } from '../../src/keys/schedule.ts'
import { type History, live, type Run, type Signing, signings } from './world.ts'

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

/** From 0 to 1; evenly, which `fc.double` is not. */
const part = fc.integer({ min: 0, max: 1_000 }).map((thousandths) => thousandths / 1_000)

/** Often at a limit, which is what finds out a margin that is too small. */
const extreme = fc.oneof(fc.constantFrom(0, 1), part)

/** The lives of one replica: it runs, is away, and comes back with other settings. */
function livesOf(policy: KeyPolicy, beginMs: number): fc.Arbitrary<Run[]> {
  const life = fc.record({
    away: part,
    awake: part,
    ahead: extreme,
    pace: extreme,
    alg: fc.constantFrom('ES256' as const, 'RS256' as const),
    rotations: fc.array(part, { maxLength: 2 }),
    revocations: fc.array(fc.record({ when: part, which: part }), { maxLength: 2 }),
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
        everyMs: Math.ceil((pollMs(policy) * (1 + pace)) / 2),
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

/**
 * The true times of every JWKS copy that a verifier may use for some unexpired token of `signing`:
 * from one max-age before the first token until the last one expires, by a clock that is behind.
 */
function copiesFor(signing: Signing, history: History, policy: KeyPolicy) {
  const made = history.made.get(signing.kid)
  const oldestMs = signing.fromMs - policy.jwksMaxAgeMs
  return {
    // The very first key can't be announced, nor one in the place of a key that was revoked; it
    // counts from when every replica has noticed it.
    fromMs: made?.isUrgent ? Math.max(oldestMs, made.atMs + pollMs(policy)) : oldestMs,
    untilMs: Math.min(
      signing.untilMs - 1 + signing.run.aheadMs + policy.accessTtlMs,
      history.revokedAtMs.get(signing.kid) ?? Infinity,
    ),
  }
}

/** The tokens that some copy of the JWKS would refuse, in words. */
function refusals(history: History, policy: KeyPolicy): string[] {
  const problems: string[] = []
  for (const signing of signings(history)) {
    const copies = copiesFor(signing, history, policy)
    for (const { run, fromMs, untilMs, keys } of history.spans) {
      const firstMs = Math.max(fromMs, copies.fromMs)
      const lastMs = Math.min(untilMs, copies.untilMs) - 1
      if (firstMs > lastMs) continue
      const key = keys.find(({ kid }) => kid === signing.kid)
      if (key === undefined) {
        problems.push(`${signing.kid} of ${signing.fromMs} is not known at ${firstMs}`)
      } else if (keyState(key, keys, policy, lastMs + run.aheadMs) === 'removed') {
        problems.push(`${signing.kid} of ${signing.fromMs} is removed at ${lastMs}`)
      }
    }
  }
  return problems
}

function neverRefused(replicas: readonly Run[][], policy: KeyPolicy): void {
  const [problem] = refusals(live(replicas.flat(), policy), policy)
  if (problem !== undefined) throw new Error(problem)
}

t.test('no verifier ever meets an unexpired token whose key it can not know', async (t) => {
  fc.assert(
    fc.property(worlds, ({ policy, replicas }) => {
      const unrevoked = replicas.map((runs) => runs.map((run) => ({ ...run, revocations: [] })))
      neverRefused(unrevoked, policy)
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

t.test(
  'the same around the revocation of a key',
  {
    todo: 'about one history in thousands fails, with a revoker whose clock is ahead: seed 1033018005',
  },
  async (t) => {
    fc.assert(
      fc.property(worlds, ({ policy, replicas }) => neverRefused(replicas, policy)),
      { numRuns: 1_000 },
    )
    t.pass()
  },
)

t.test('a revoked key never signs and is never published once a replica has looked', async (t) => {
  let seen = 0
  fc.assert(
    fc.property(worlds, ({ policy, replicas }) => {
      const history = live(replicas.flat(), policy)
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
})

t.test('whatever is revoked, a replica that has looked has a key to sign with', async (t) => {
  fc.assert(
    fc.property(worlds, ({ policy, replicas }) => {
      const history = live(replicas.flat(), policy)
      for (const { run, fromMs, keys } of history.spans) {
        const active = activeKey(keys, fromMs + run.aheadMs)
        if (active === undefined) throw new Error(`there is none at ${fromMs}`)
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('while one replica is up, each epoch has its key, on the instant', async (t) => {
  fc.assert(
    fc.property(policies, fc.nat(), (policy, phase) => {
      fc.pre(policy.rotationMs > leadMs(policy) + pollMs(policy))
      const { rotationMs } = policy
      const startMs = 1_700_000_000_000 + (phase % rotationMs)
      const run: Run = {
        startMs,
        endMs: startMs + 6 * rotationMs,
        aheadMs: 0,
        alg: 'ES256',
        everyMs: pollMs(policy),
        rotations: [],
        revocations: [],
      }
      const { spans } = live([run], policy)
      const turns = new Set(spans.flatMap(({ keys }) => keys.map((key) => key.activateAtMs)))
      // The second may be late, when the first came right before its turn.
      const epoch = Math.ceil(startMs / rotationMs) + 1
      for (const number of [epoch, epoch + 1, epoch + 2]) {
        if (!turns.has(number * rotationMs)) throw new Error(`no turn at epoch ${number}`)
      }
    }),
    { numRuns: 100 },
  )
  t.pass()
})
