import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseCachegrind } from '../../bench/harness/cachegrind.ts'
import { parsePerfCount } from '../../bench/harness/instructions.ts'
import { readCompareArguments } from '../../bench/revisions/arguments.ts'
import { rowsOf } from '../../bench/revisions/comparison.ts'
import { findingOf, isRegression, ratioOf } from '../../bench/revisions/ratio.ts'
import { copyTrees } from '../../bench/revisions/trees.ts'
import fc from '../support/properties.ts'

const isCheckout = existsSync(new URL('../../.git', import.meta.url))

t.test('a ratio is the geometric mean over the rounds, with a t-interval', async (t) => {
  // By hand: logs of 2 and 8 are ln 4 ± ln 2, so the standard error is ln 2, and t is 12.706.
  const { value, low, high } = ratioOf([2, 8], [1, 1])
  t.ok(Math.abs(value - 4) < 1e-12)
  t.ok(Math.abs(Math.log(high / 4) - 12.706 * Math.LN2) < 1e-9)
  t.ok(Math.abs(Math.log(4 / low) - 12.706 * Math.LN2) < 1e-9)
})

t.test('rounds that were slow for both change nothing', async (t) => {
  t.same(ratioOf([100, 10, 50], [50, 5, 25]), { value: 2, low: 2, high: 2 })
})

t.test('what is swapped is the reciprocal', async () => {
  const rates = fc.array(fc.tuple(fc.integer({ min: 1 }), fc.integer({ min: 1 })), {
    minLength: 2,
    maxLength: 40,
  })
  fc.assert(
    fc.property(rates, (pairs) => {
      const [ours, others] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)]
      const [there, back] = [ratioOf(ours, others), ratioOf(others, ours)]
      const isClose = (one: number, other: number) => Math.abs(Math.log(one * other)) < 1e-6
      return isClose(there.value, back.value) && isClose(there.low, back.high)
    }),
  )
})

t.test('one round is not enough, and rounds come in pairs', async (t) => {
  t.throws(() => ratioOf([1], [1]), RangeError)
  t.throws(() => ratioOf([1, 2], [1]), RangeError)
})

t.test(
  'an interval that holds 1 shows nothing; else the metric says which way is better',
  async (t) => {
    t.equal(findingOf({ value: 1.1, low: 0.99, high: 1.2 }, true), 'no difference shown')
    t.equal(findingOf({ value: 1.1, low: 1.01, high: 1.2 }, true), 'better')
    t.equal(findingOf({ value: 1.1, low: 1.01, high: 1.2 }, false), 'worse')
    t.equal(findingOf({ value: 0.8, low: 0.7, high: 0.9 }, true), 'worse')
    t.equal(findingOf({ value: 0.8, low: 0.7, high: 0.9 }, false), 'better')
  },
)

t.test('a regression is wholly beyond the tolerance', async (t) => {
  t.equal(isRegression({ value: 0.9, low: 0.85, high: 0.94 }, true, 0.05), true)
  t.equal(isRegression({ value: 0.9, low: 0.85, high: 0.96 }, true, 0.05), false)
  t.equal(isRegression({ value: 1.1, low: 1.06, high: 1.2 }, false, 0.05), true)
  t.equal(isRegression({ value: 1.1, low: 1.06, high: 1.2 }, true, 0.05), false)
})

t.test('by the clock nobody is judged, by processor time everybody', async (t) => {
  const side = (rate: number) => [1, 1.01, 0.99].map((noise) => readings(rate * noise))
  const readings = (rate: number) => ({ per_second: rate, per_core_second: rate, server_busy: 1 })
  const rows = rowsOf({ scenario: 's', subject: 'a', ours: side(80), theirs: side(100) }, 0.05)
  t.same(
    rows.map(({ metric, finding, isRegression }) => [metric, finding, isRegression]),
    [
      ['per_second', 'worse', false],
      ['per_core_second', 'worse', true],
    ],
  )
})

t.test(
  'arguments: a revision, scenarios or families of them, and two rounds at least',
  async (t) => {
    const given = readCompareArguments(['HEAD~1', 'verify-loop', '--subject', 'a', '--rounds', '3'])
    t.match(given, { revision: 'HEAD~1', scenarios: ['verify-loop'], subjects: ['a'] })
    t.equal(given.options.rounds, 3)
    t.equal(given.tolerance_percent, 5)
    t.same(readCompareArguments(['HEAD']).scenarios, ['verify-loop', 'refresh'])
    t.throws(() => readCompareArguments([]), /Name a revision/)
    t.throws(() => readCompareArguments(['HEAD', 'nothing']), /no scenario nothing/)
    t.throws(() => readCompareArguments(['HEAD', '--rounds', '1']), /One round/)
    t.throws(() => readCompareArguments(['HEAD', '--tolerance', '0']), /positive whole number/)
  },
)

t.test(
  'the sources of a revision and those here, by the benchmark that is here',
  {
    skip: isCheckout ? false : 'this is no checkout',
  },
  async (t) => {
    const { commit, ours, theirs } = copyTrees('HEAD', t.testdir())
    const file = 'src/verifier/verifier.ts'
    const textIn = (tree: string, path: string) => readFileSync(join(tree, path), 'utf8')
    const committed = execFileSync('git', ['show', `${commit}:${file}`], { encoding: 'utf8' })
    t.equal(textIn(theirs, file), committed)
    t.equal(textIn(ours, file), readFileSync(file, 'utf8'))
    const worker = 'bench/revisions/worker.ts'
    t.equal(textIn(theirs, worker), textIn(ours, worker))
    t.ok(existsSync(join(theirs, 'node_modules/fastify')))
    // Whatever the scenarios load is there too, and of that tree.
    for (const tree of [ours, theirs]) {
      const { scenarios } = await import(join(tree, 'bench/scenarios/index.ts'))
      t.ok(scenarios.length > 0)
    }
  },
)

t.test(
  'a revision that is none is refused, and no option is taken for one',
  {
    skip: isCheckout ? false : 'this is no checkout',
  },
  async (t) => {
    t.throws(() => copyTrees('no-such-revision', t.testdir()), /no revision no-such-revision/)
    t.throws(() => copyTrees('--all', t.testdir()), /no revision --all/)
  },
)

t.test('what Cachegrind counted is read, and nothing is not taken for a count', async (t) => {
  t.equal(parseCachegrind('==7== \n==7== I refs:        254,010,445\n'), 254_010_445)
  t.throws(() => parseCachegrind('==7== Command: node'), /gave no count/)
})

t.test('what perf counted is read, and what it could not count is not', async (t) => {
  t.equal(parsePerfCount('12345,,instructions:u,1000,100.00,,\n'), 12_345)
  t.equal(parsePerfCount('<not supported>,,instructions:u,0,100.00,,\n'), null)
  t.equal(parsePerfCount(''), null)
})
