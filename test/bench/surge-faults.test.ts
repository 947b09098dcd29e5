import t, { type Test } from 'tap'
import type { SystemResult } from '../../bench/old/surge/result.ts'
import { runSystem } from '../../bench/old/surge/run.ts'
import { createScript } from '../../bench/old/surge/script.ts'
import { madeUpShop, type Wrongs } from './surge-shop.ts'

/** Each counter of the surge sees its failure, and no other: the whole load, on a shop that is made up. */

// More at once would keep each other waiting for as long as a late sign-out takes.
t.jobs = 3

const argon2id = { memory_kib: 64, passes: 1, parallelism: 1 }
const script = createScript(120)

function surge(t: Test, wrongs: Wrongs): Promise<SystemResult> {
  const users = Array.from({ length: 40 }, (_, n) => ({ name: `user-${n}`, password: 'any' }))
  const options = { rounds: 1, duration_s: 0, warmup_s: 0, connections: 0 }
  const ctx = {
    options: {
      ...{ isQuick: true, users: users.length, issuers: 1, verifiers: 0, shops: 1 },
      ...{ accessTtl_s: 2, lostRefreshes: 0.1, argon2id, fault: null },
    },
    ...{ users, passwordHash: '', tell: () => {} },
    bench: { options, cores: null, scratch: t.testdir(), defer: () => {} },
  }
  return runSystem(madeUpShop(wrongs), ctx, { script, floodMs: 100, unitFor: () => 40 })
}

/** What should be zero, and is not. */
function seen({ totals }: SystemResult): string[] {
  const { failures, signedOut, lostItems, lateSignOuts, doubledItems } = totals
  const counters = { failures, signedOut, lostItems, lateSignOuts, doubledItems }
  return Object.entries(counters).flatMap(([name, count]) => (count > 0 ? [name] : []))
}

t.test('a shop with nothing wrong: nothing is counted but what was done', async (t) => {
  const result = await surge(t, {})
  t.same(seen(result), [])
  const { totals, phases, series, events } = result
  t.ok(totals.actions > 200, `${totals.actions} actions`)
  t.ok(totals.cartsCompared >= 30, `${totals.cartsCompared} carts`)
  t.ok(totals.refreshes > 0)
  // Two at each of five steps, but for those at which everybody was in the middle of something.
  t.ok(totals.signOuts > 5 && totals.signOuts <= 10, `${totals.signOuts} sign-outs`)
  t.same(
    phases.map(({ factor }) => factor),
    script.stretches.map(({ factor }) => factor),
  )
  const [before, , most] = phases
  t.ok((most?.requests ?? 0) > 10 * (before?.requests ?? 0), 'ten times the load, for longer')
  t.equal(series.length, 2)
  t.equal(events.length, script.steps.length)
  t.ok(events.every(({ name, applies }) => applies === /kill-shop|sign-out/.test(name)))
})

t.test('a renewal that is refused: users are signed out', async (t) => {
  const result = await surge(t, { forgets: 0.3 })
  t.same(seen(result), ['signedOut', 'lostItems'], 'the cart of this shop goes with the session')
  t.ok(result.totals.logins >= result.totals.signedOut)
  t.same(Object.keys(result.totals.signedOutByReason), ['401'])
})

t.test('an addition that is acknowledged and not kept: items are lost', async (t) => {
  const result = await surge(t, { loses: 0.1 })
  t.same(seen(result), ['lostItems'])
  t.ok(result.totals.cartsWithLoss <= result.totals.lostItems)
})

t.test('an addition that is made twice: items are doubled', async (t) => {
  t.same(seen(await surge(t, { doubles: 0.1 })), ['doubledItems'])
})

t.test('an error that no repeat makes good: a failure, with its kind', async (t) => {
  const result = await surge(t, { breaks: 0.1 })
  t.same(seen(result), ['failures'])
  t.match(Object.keys(result.totals.failuresByKind)[0], / 500$/)
  t.match(result.failures[0], { kind: '500', code: 'broken' })
  const atTheEnd = result.failures.filter(({ action }) => action === 'see cart at the end').length
  const inPhases = result.phases.reduce((sum, { failures }) => sum + failures, 0)
  t.equal(inPhases + atTheEnd, result.totals.failures)
})

t.test('a stumble that a repeat makes good is not a failure, but it took its time', async (t) => {
  const result = await surge(t, { stumbles: 0.05 })
  t.same(seen(result), [])
  const { firstFailuresByKind, retries, p99 } = result.totals
  t.ok((firstFailuresByKind['503'] ?? 0) > 0)
  t.ok(retries > 0)
  t.ok(p99 > 150, 'the pause before the repeat counts')
})

t.test('a sign-out that bites late', async (t) => {
  const result = await surge(t, { lags_ms: 1_300 })
  t.same(seen(result), ['lateSignOuts'])
  t.ok(Math.max(...result.totals.signOutBites_ms) > 1_000)
})

t.test('a sign-out that bites soon', async (t) => {
  t.same(seen(await surge(t, { lags_ms: 100 })), [])
})
