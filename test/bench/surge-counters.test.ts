import t from 'tap'
import { CartBook } from '../../bench/old/surge/client/cart-book.ts'
import { phasesOf, seriesOf, totalsOf } from '../../bench/old/surge/figures.ts'
import { callFor, chooseAction } from '../../bench/old/surge/load/behaviour.ts'
import { Recorder } from '../../bench/old/surge/load/recorder.ts'
import { Tally } from '../../bench/old/surge/load/tally.ts'
import { createScript, factorAt } from '../../bench/old/surge/script.ts'
import fc from '../support/properties.ts'

const one = (product: string, quantity = 1) => ({ product, quantity })

t.test('what was acknowledged is missed, what was not is not', async (t) => {
  const book = new CartBook()
  book.added('hat', 1, true)
  book.added('hat', 1, false)
  book.added('mug', 1, true)
  t.same(book.compare([one('hat'), one('mug')]), { lost: [], doubled: [] })
  book.added('hat', 1, true)
  t.same(book.compare([one('hat'), one('mug')]), { lost: ['hat'], doubled: [] })
  t.same(book.compare([one('hat')]), { lost: ['mug'], doubled: [] })
  t.same(book.compare([one('hat')]), { lost: [], doubled: [] }, 'a loss counts once')
})

t.test('what is there twice, or was never put in, is doubled', async (t) => {
  const book = new CartBook()
  book.added('hat', 1, true)
  t.same(book.compare([one('hat', 2)]), { lost: [], doubled: ['hat'] })
  t.same(book.compare([one('hat', 2), one('map')]), { lost: [], doubled: ['map'] })
})

t.test(
  'after a check-out nothing may be left; after one that failed, anything may be',
  async (t) => {
    const book = new CartBook()
    book.added('hat', 1, true)
    book.emptied(false)
    t.ok(book.isEmpty)
    t.same(book.compare([]), { lost: [], doubled: [] })
    book.added('hat', 1, true)
    book.emptied(true)
    t.same(book.compare([one('hat')]), { lost: [], doubled: ['hat'] })
  },
)

t.test('after a sign-out the cart is what it is', async (t) => {
  const book = new CartBook()
  book.added('hat', 2, true)
  book.forget()
  t.same(book.compare([one('mug', 7)]), { lost: [], doubled: [] })
  t.same(book.compare([]), { lost: ['mug'], doubled: [] })
})

t.test('a book misses nothing in an honest shop, whatever is lost on the way', async () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'remove', 'check out', 'look'),
    product: fc.constantFrom('hat', 'mug'),
    isDone: fc.boolean(),
    isHeard: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const [book, cart] = [new CartBook(), new Map<string, number>()]
      for (const { kind, product, isDone, isHeard } of steps) {
        // What is acknowledged was done.
        const isAcknowledged = isDone && isHeard
        if (kind === 'add') {
          if (isDone) cart.set(product, (cart.get(product) ?? 0) + 1)
          book.added(product, 1, isAcknowledged)
        } else if (kind === 'remove') {
          if (isDone) cart.delete(product)
          book.removed(product, isAcknowledged)
        } else if (kind === 'check out') {
          if (isDone) cart.clear()
          book.emptied(isAcknowledged)
        }
        const { lost, doubled } = book.compare([...cart].map(([name, count]) => one(name, count)))
        if (lost.length + doubled.length > 0) return false
      }
      return true
    }),
  )
})

t.test('a tally counts, and shows the most frequent first', async (t) => {
  const tally = new Tally()
  for (const name of ['a', 'b', 'b']) tally.add(name)
  t.equal(tally.sum, 3)
  t.same(Object.entries(tally.toObject()), [
    ['b', 2],
    ['a', 1],
  ])
})

t.test('every action has its share, and none of the requests is without a key', async (t) => {
  const kinds = new Set(Array.from({ length: 1000 }, (_, n) => chooseAction(n / 1000)))
  t.equal(kinds.size, 10)
  t.equal(chooseAction(0.999_999), 'sign out and in')
  const keyed = callFor('add', 'hat').headers
  t.not(keyed?.['idempotency-key'], callFor('add', 'hat').headers?.['idempotency-key'])
})

t.test('time counts from when an action was due, not from when it began', async (t) => {
  const recorder = new Recorder()
  recorder.acted('browse', 0, null)
  t.equal(recorder.ended.length, 0, 'nothing counts before the surge')
  recorder.begin()
  // A shop that stood still for a second: what was due meanwhile ends now.
  const late = [-1000, -500, -1]
  for (const dueMs of late) recorder.acted('browse', dueMs, null)
  const failure = { status: 503, headers: {}, body: { code: 'store_unavailable' } }
  recorder.acted('add', -1, failure)
  const totals = totalsOf(recorder)
  t.equal(totals.actions, 4)
  t.equal(totals.failures, 1)
  t.same(totals.failuresByKind, { 'add 503': 1 })
  t.ok(totals.p999 >= 1000, `${totals.p999} ms`)
  t.ok(totals.p50 < 900)
  t.match(recorder.failures, [{ action: 'add', kind: '503', code: 'store_unavailable' }])
})

t.test('an action belongs to the stretch in which it was due', async (t) => {
  const script = createScript(1000)
  const ended = [
    { dueMs: 100, endMs: 110, hasFailed: false },
    { dueMs: 1900, endMs: 2900, hasFailed: true },
    { dueMs: 14_900, endMs: 20_000, hasFailed: false },
  ]
  const recorder = Object.assign(new Recorder(), { ended })
  const [first, second, , , last] = phasesOf(recorder, script, 10)
  t.match(first, { requests: 2, failures: 1, p50: 10, max: 1000, rate: 10, ended_per_second: 0.5 })
  t.match(second, { requests: 0, failures: 0, p50: 0, ended_per_second: 1 })
  t.match(last, { requests: 1, failures: 0, max: 5100, ended_per_second: 0 })
  const series = seriesOf(recorder, script)
  t.equal(series.length, 15)
  t.match(series[0], { requests: 1, p50: 10 })
  t.match(series[1], { requests: 0, p50: null })
  t.match(series[2], { requests: 1, failures: 1, p50: 1000 })
})

t.test('the load rises to ten times and comes down again', async (t) => {
  const script = createScript(10)
  t.same(
    [0, 25, 35, 125, 145, 150].map((ms) => factorAt(script, ms)),
    [1, 3, 10, 3, 1, 0],
  )
  const times = (name: string) => script.steps.filter((step) => step.name === name).length
  t.same(['rotate-keys', 'kill-verifier', 'fail-over'].map(times), [2, 2, 1])
  t.ok(script.steps.every(({ atMs }) => atMs < script.endMs))
})
