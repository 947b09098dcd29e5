import t, { type Test } from 'tap'
import { noAnswer } from '../../bench/harness/http.ts'
import { CartBook } from '../../bench/surge/cart-book.ts'
import { createAsk, HeldSession } from '../../bench/surge/client.ts'
import { Recorder } from '../../bench/surge/recorder.ts'
import { runSystem, type SystemResult } from '../../bench/surge/run.ts'
import { createScript } from '../../bench/surge/script.ts'
import type { Ask, ClientScheme } from '../../bench/surge/system.ts'
import { Visitor } from '../../bench/surge/visitor.ts'
import { type Faults, startMadeUpShop } from './made-up-shop.ts'

// More concurrent surges would delay each other, like a late sign-out.
t.jobs = 3

const script = createScript(120)
const options = {
  isQuick: true,
  users: 40,
  replicas: { issuer: 1, verifier: 0, shop: 1 },
  accessTtl_s: 2,
  lossShare: 0.1,
}
type Measured = Omit<SystemResult, 'name' | 'title'>

/** Runs the whole load on a fake shop. */
async function surge(t: Test, faults: Faults): Promise<Measured> {
  const fleet = await startMadeUpShop(t, faults)
  return runSystem(
    fleet,
    { options, script, flood: { floodMs: 50, warmUpMs: 50 } },
    () => 40,
    () => {},
  )
}

/** Returns the names of the counts that should be zero and are not. */
function seen({ totals }: Measured): string[] {
  const { failures, signedOut, lostItems, lateSignOuts, doubledItems } = totals
  const counters = { failures, signedOut, lostItems, lateSignOuts, doubledItems }
  return Object.entries(counters).flatMap(([name, count]) => (count > 0 ? [name] : []))
}

t.test('a shop without faults: no goal is missed', async (t) => {
  const result = await surge(t, {})
  t.same(seen(result), [])
  const { totals, phases, series } = result
  t.ok(totals.actions > 200, `${totals.actions} actions`)
  t.ok(totals.cartsCompared >= 30, `${totals.cartsCompared} carts`)
  t.ok(totals.refreshes > 0)
  // Two at each of five steps, unless every user was in the middle of an action.
  t.ok(totals.signOuts > 0 && totals.signOuts <= 10, `${totals.signOuts} sign-outs`)
  const factors = script.levels.map(({ factor }) => factor)
  t.same(
    phases.map(({ factor }) => factor),
    factors,
  )
  const [before, , most] = phases
  t.ok((most?.actions ?? 0) > 10 * (before?.actions ?? 0), 'ten times the load, for longer')
  t.equal(series.length, 2)
})

t.test('a refresh that is refused: users are signed out', async (t) => {
  const result = await surge(t, { forgets: 0.3 })
  t.same(seen(result), ['signedOut', 'lostItems'], 'the cart of this shop goes with the session')
  t.ok(result.totals.logins >= result.totals.signedOut)
  t.same(Object.keys(result.totals.signedOutByReason), ['401'])
})

t.test('an addition that is acknowledged and not kept: items are lost', async (t) => {
  const result = await surge(t, { loses: 0.1 })
  t.same(seen(result), ['lostItems'])
  t.ok(result.totals.cartsWithLoss > 0)
})

t.test('an addition that is made twice: items are doubled', async (t) => {
  t.same(seen(await surge(t, { doubles: 0.1 })), ['doubledItems'])
})

t.test('an error that remains after the retries: a failure, counted by its kind', async (t) => {
  const { totals, phases } = await surge(t, { breaks: 0.1 })
  t.same(seen({ totals } as Measured), ['failures'])
  const kinds = Object.keys(totals.failuresByKind)
  t.ok(
    kinds.every((kind) => kind.endsWith(': 500 broken')),
    kinds.join(),
  )
  const atTheEnd = totals.failuresByKind['see cart at the end: 500 broken'] ?? 0
  const inPhases = phases.reduce((sum, { failures }) => sum + failures, 0)
  t.equal(inPhases + atTheEnd, totals.failures)
})

t.test('an error that a retry repairs is no failure, and counts in the latency', async (t) => {
  const result = await surge(t, { stumbles: 0.05 })
  t.same(seen(result), [])
  t.ok(Math.max(...result.phases.map(({ p99 }) => p99)) > 150, 'the pause before the repeat counts')
})

t.test('a sign-out is late if it takes effect after more than a second', async (t) => {
  t.same(seen(await surge(t, { lagsMs: 60_000 })), ['lateSignOuts'])
  t.same(seen(await surge(t, { lagsMs: 100 })), [])
})

t.test('a cart is compared with what the user knows of it', async (t) => {
  const book = new CartBook()
  book.added('hat', 1, true)
  book.added('mug', 1, false)
  const of = (...items: [string, number][]) =>
    items.map(([product, quantity]) => ({ product, quantity }))
  t.same(book.compare(of(['hat', 1], ['mug', 1])), { lost: [], doubled: [] })
  t.same(book.compare(of(['mug', 1])), { lost: ['hat'], doubled: [] })
  t.same(book.compare(of(['mug', 2])), { lost: [], doubled: ['mug'] })
  book.emptied(false)
  t.same(book.compare([]), { lost: [], doubled: [] }, 'nobody knows whether it was checked out')
  book.forget()
  t.same(book.compare(of(['map', 3])), { lost: [], doubled: [] }, 'after a sign-out all is new')
})

t.test('temporary errors are retried, and no other response is', async (t) => {
  const statusesOf = async (...statuses: number[]) => {
    const sent: number[] = []
    const ask = createAsk(async () => {
      const status = statuses[sent.length] ?? 200
      sent.push(status)
      return status === 0 ? noAnswer('ECONNRESET') : { status, headers: {}, body: null }
    })
    const { status } = await ask({ method: 'GET', path: '/' })
    return [sent.length, status]
  }
  t.same(await statusesOf(0, 503, 200), [3, 200])
  for (const status of [204, 400, 401, 409, 500]) t.same(await statusesOf(status), [1, status])
})

t.test('a client gives up if Retry-After is long', async (t) => {
  const headers = { 'retry-after': '60' }
  const ask = createAsk(async () => ({ status: 503, headers, body: null }))
  t.equal((await ask({ method: 'GET', path: '/' })).status, 503)
})

t.test('an action tells whether it succeeded, so that a flood counts no failures', async (t) => {
  const scheme: ClientScheme = {
    login: async () => ({ headers: {}, lifetimeMs: null, secret: '' }),
    logout: async () => noAnswer(''),
  }
  let status = 200
  const ask: Ask = async () => ({ status, headers: {}, body: {} })
  const deps = { ask, scheme, recorder: new Recorder(), products: ['hat'], lossShare: 0 }
  const visitor = new Visitor('user-0', deps)
  t.equal(await visitor.act(0), true, 'the sign-in')
  status = 500
  t.equal(await visitor.act(0), false)
})

t.test('one refresh runs at a time, and its retries have its key', async (t) => {
  const keys: string[] = []
  let isUp = false
  const session = { headers: {}, lifetimeMs: 1_000_000, secret: 's' }
  const scheme: ClientScheme = {
    login: async () => session,
    async refresh(_ask: Ask, _session, key) {
      keys.push(key)
      return isUp ? session : noAnswer('ECONNREFUSED')
    },
    logout: async () => noAnswer(''),
  }
  let refreshes = 0
  const held = new HeldSession(
    scheme,
    async () => noAnswer(''),
    session,
    () => refreshes++,
  )
  t.same(await Promise.all([held.renew(), held.renew()]), ['failed', 'failed'])
  isUp = true
  t.equal(await held.renew(), 'renewed')
  t.equal(await held.renew(), 'renewed')
  t.equal(keys.length, 3)
  t.equal(new Set(keys).size, 2, 'the key of the attempt that failed, and another one')
  t.equal(refreshes, 2)
})
