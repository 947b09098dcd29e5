import t from 'tap'
import { compare, type Pair, rowsOf } from '../../bench/compare.ts'
import { installRevision } from '../../bench/harness/revision.ts'
import { ratioOf } from '../../bench/harness/statistics.ts'
import { readArguments } from '../../bench/options.ts'
import fc from '../support/properties.ts'

t.test('a ratio is the geometric mean over the rounds, with a t-interval', async (t) => {
  // By hand: logs of 2 and 8 are ln 4 ± ln 2, so the standard error is ln 2, and t is 12.706.
  const { value, low, high } = ratioOf([2, 8], [1, 1])
  t.ok(Math.abs(value - 4) < 1e-12)
  t.ok(Math.abs(Math.log(high / 4) - 12.706 * Math.LN2) < 1e-9)
  t.ok(Math.abs(Math.log(4 / low) - 12.706 * Math.LN2) < 1e-9)
})

t.test('rounds that were slow for both sides change nothing', async (t) => {
  t.same(ratioOf([100, 10, 50], [50, 5, 25]), { value: 2, low: 2, high: 2 })
})

t.test('the ratio of the sides exchanged is the reciprocal', async () => {
  const rate = fc.integer({ min: 1 })
  const rates = fc.array(fc.tuple(rate, rate), { minLength: 2, maxLength: 40 })
  fc.assert(
    fc.property(rates, (pairs) => {
      const [own, others] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)]
      const [there, back] = [ratioOf(own, others), ratioOf(others, own)]
      const isClose = (one: number, other: number) => Math.abs(Math.log(one * other)) < 1e-6
      return isClose(there.value, back.value) && isClose(there.low, back.high)
    }),
  )
})

t.test('one round is not enough, and rounds come in pairs', async (t) => {
  t.throws(() => ratioOf([1], [1]), RangeError)
  t.throws(() => ratioOf([1, 2], [1]), RangeError)
})

/** @param factor of every figure of the head to that of the base */
function pairOf(factor: number): Pair {
  const readings = (scale: number) =>
    [1, 1.01, 0.99].map((noise) => ({
      per_second: 100 * scale * noise,
      per_core_second: 100 * scale * noise,
      heap_mib: 50 * scale * noise,
      server_busy: 1,
    }))
  return { scenario: 's', subject: 'a', base: readings(1), head: readings(factor) }
}

const regressionsOf = (factor: number, tolerance: number) =>
  rowsOf(pairOf(factor), tolerance)
    .filter(({ isRegression }) => isRegression)
    .map(({ metric }) => metric)

t.test(
  'a regression is wholly beyond the tolerance, and by processor time or memory',
  async (t) => {
    t.same(regressionsOf(0.8, 0.05), ['per_core_second'])
    t.same(regressionsOf(1.2, 0.05), ['heap_mib'])
    t.same(regressionsOf(0.8, 0.25), [])
    t.same(regressionsOf(0.96, 0.05), [])
    const metrics = rowsOf(pairOf(1), 0.05).map(({ metric }) => metric)
    t.same(metrics, ['per_second', 'per_core_second', 'heap_mib'], 'how busy a core was is no row')
  },
)

t.test('a figure that one side lacks is not compared', async (t) => {
  const { head, ...pair } = pairOf(1)
  t.same(rowsOf({ ...pair, head: head.map(() => ({})) }, 0.05), [])
})

t.test('no revision, one round or an unknown scenario is refused before any work', async (t) => {
  await t.rejects(
    compare({ ...readArguments(['compare']), names: [] }, () => {}),
    /Name a revision/,
  )
  const one = { ...readArguments(['compare', '--rounds', '1']), names: ['HEAD'] }
  await t.rejects(
    compare(one, () => {}),
    /two rounds or more/,
  )
  const unknown = { ...readArguments(['compare']), names: ['HEAD', 'nothing'] }
  await t.rejects(
    compare(unknown, () => {}),
    /no scenario nothing/,
  )
})

t.test('a revision that does not exist is refused, and no option is taken for one', async (t) => {
  t.throws(() => installRevision('no-such-revision'), /no revision no-such-revision/)
  t.throws(() => installRevision('--all'), /no revision --all/)
})
