import t from 'tap'
import { costsTable, needsOf, needsTable } from '../../bench/simulation/command.ts'
import { type Costs, slopeOf } from '../../bench/simulation/costs.ts'
import {
  createRandom,
  deviceCounts,
  latenciesOf,
  planFor,
  recovery_s,
  waitInLine,
} from '../../bench/simulation/simulate.ts'
import fc from '../support/properties.ts'

const redis = {
  store: 'Redis',
  sessions: 1e6,
  refresh_us: 100,
  store_us: 10,
  session_bytes: 500,
  tenfold: 1.02,
}
const costs: Costs = {
  ...redis,
  signIn_us: 25_000,
  feedEntry: { bytes: 50, us: 5 },
  stores: [redis],
}

t.test('the slope of a power function is its exponent', async () => {
  const exponent = fc.double({ min: -2, max: 2, noNaN: true })
  fc.assert(
    fc.property(exponent, (power) => {
      const points = [1e3, 1e4, 1e5].map((size) => [size, 7 * size ** power] as const)
      return Math.abs(slopeOf(points) - power) < 1e-9
    }),
  )
})

t.test('random numbers are uniform, and reproducible by their seed', async (t) => {
  const [one, other] = [createRandom(3), createRandom(3)]
  const numbers = Array.from({ length: 10_000 }, () => one())
  t.same(
    numbers,
    numbers.map(() => other()),
  )
  const tenths = Map.groupBy(numbers, (number) => Math.floor(10 * number))
  t.equal(tenths.size, 10)
  t.ok(tenths.values().every(({ length }) => Math.abs(length - 1_000) < 150))
})

t.test('waiting times are those of an M/M/1 queue', async (t) => {
  for (const share of [0.3, 0.6, 0.8]) {
    const random = createRandom(11)
    const exponential = (mean: number) => -mean * Math.log1p(-random())
    const times = waitInLine(
      300_000,
      () => exponential(1),
      () => exponential(share),
    )
    const theory = share / (1 - share)
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length
    t.ok(Math.abs(mean / theory - 1) < 0.08, `${share}: ${mean / theory}`)
    const p99 = times.sort()[Math.floor(0.99 * times.length)] ?? 0
    t.ok(Math.abs(p99 / (theory * Math.log(100)) - 1) < 0.1, `${share}: p99 ${p99}`)
  }
})

t.test('a plan covers the mean load', async (t) => {
  const plan = planFor(3e6, costs)
  t.equal(plan.refreshes_per_second, 1_000)
  t.ok(Math.abs(plan.signIns_per_second - 1.0417) < 1e-3)
  t.ok(Math.abs(plan.refreshLoad - 0.101) < 2e-3, String(plan.refreshLoad))
  t.match(plan, { refreshCores: 1, hashCores: 1, primaries: 1, sessions_bytes: 1.5e9 })
  t.equal(plan.feedEntries, 313)
  t.equal(plan.feed_bytes, 15_650)
})

t.test('more devices need no less of any resource, and latencies stay low', async (t) => {
  const plans = deviceCounts.map((devices) => planFor(devices, costs))
  for (const key of ['refreshCores', 'hashCores', 'primaries', 'memory_bytes'] as const) {
    const values = plans.map((plan) => plan[key])
    t.same(
      values,
      values.toSorted((a, b) => a - b),
      key,
    )
  }
  for (const plan of plans) {
    const latencies = latenciesOf(plan, costs)
    t.ok(latencies.refreshP50_ms < latencies.refreshP99_ms)
    // At 60 % a line is a few times as long as the work itself.
    t.ok(latencies.refreshP99_ms < 2, `${plan.devices}: ${latencies.refreshP99_ms}`)
    t.ok(latencies.signInP99_ms > costs.signIn_us / 1000)
  }
})

t.test('cores with more spare capacity recover sooner from an outage', async (t) => {
  t.equal(recovery_s(0.1), 0, 'nothing piles up')
  // By hand: 10 s of requests within 2 s are 3.6 cores; 5.2 s pile up, and 4.2 go at 0.4 a second.
  t.ok(Math.abs(recovery_s(0.6) - (2 + 4.2 / 0.4 + 1)) < 1e-9)
  t.ok(recovery_s(0.4) < recovery_s(0.5))
})

t.test('the tables have labels and rounded figures', async (t) => {
  const { rows } = costsTable(costs)
  t.same(rows[0], [
    'a refresh, and the size of a session, on Redis, with 1,000,000 sessions',
    '100 µs of a core of the issuer and 10 µs of the store; 500 bytes; with 10 times the sessions 1.02 times the work',
  ])
  const needs = needsTable([needsOf(1e6, costs)])
  t.same(needs.head, ['devices', '1,000,000'])
  t.same(needs.rows[0], ['refreshes a second', '330'])
  t.ok(needs.rows.every(([, cell = '']) => /^[\d.,]+( \w+)?$/.test(cell)))
})
