import t from 'tap'
import { readScaleArguments } from '../../bench/old/scale/arguments.ts'
import { growthOf } from '../../bench/old/scale/growth.ts'
import { readAsked } from '../../bench/old/scale/issuer-metrics.ts'
import type { Column, SweepResult } from '../../bench/old/scale/result.ts'
import { runSweep, type Sweep } from '../../bench/old/scale/sweep.ts'
import { sweepReport } from '../../bench/old/scale/tables.ts'
import { nanosecondsOf } from '../../bench/old/scale/workers/loop.ts'
import fc from '../support/properties.ts'

t.test('growth is the exponent of a power, whatever its factor', async () => {
  const sizes = fc.uniqueArray(fc.integer({ min: 1, max: 1e7 }), { minLength: 2, maxLength: 8 })
  const exponents = fc.double({ min: -2, max: 2, noNaN: true })
  const factors = fc.double({ min: 1e-3, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(sizes, exponents, factors, (all, exponent, factor) => {
      const found = growthOf(all.map((size) => [size, factor * size ** exponent]))
      const isFound = Math.abs(found.exponent - exponent) < 1e-6
      return isFound && Math.abs(found.tenfold / 10 ** exponent - 1) < 1e-5
    }),
  )
})

t.test('growth is the nearest line where there is none through all', async (t) => {
  // By hand: logs (0, 0), (1, 0), (2, 3) have the slope 3/2.
  t.ok(
    Math.abs(
      growthOf([
        [1, 1],
        [10, 1],
        [100, 1000],
      ]).exponent - 1.5,
    ) < 1e-12,
  )
})

t.test('one size says nothing about growth, nor does a cost of nothing', async (t) => {
  t.throws(() => growthOf([]), RangeError)
  t.throws(
    () =>
      growthOf([
        [10, 1],
        [10, 2],
      ]),
    RangeError,
  )
  t.throws(
    () =>
      growthOf([
        [1, 1],
        [10, 0],
      ]),
    RangeError,
  )
})

t.test('what verifiers ask is read from the metrics of an issuer, every status', async (t) => {
  const text = [
    '# TYPE gatepass_jwks_requests_total counter',
    'gatepass_jwks_requests_total 3',
    'gatepass_http_request_duration_seconds_bucket{le="1",method="GET",route="/revocations",status="200"} 9',
    'gatepass_http_request_duration_seconds_count{method="GET",route="/.well-known/jwks.json",status="304"} 40',
    'gatepass_http_request_duration_seconds_count{method="GET",route="/.well-known/jwks.json",status="200"} 1',
    'gatepass_http_request_duration_seconds_count{method="GET",route="/revocations",status="200"} 2',
    'gatepass_http_request_duration_seconds_count{method="GET",route="/revocations/stream",status="200"} 5',
  ].join('\n')
  t.same(readAsked(text), { keys: 44, snapshots: 2 })
  t.throws(() => readAsked('gatepass_verify_requests_total 3'), /no metrics of an issuer/)
})

t.test('sessions may be written as a power of ten, and stay in reach by default', async (t) => {
  const sessions = (...args: string[]) => {
    const { chosen, sizeMax } = readScaleArguments(args)
    return chosen.filter(({ of }) => of === 'sessions').map(sizeMax)
  }
  t.same(sessions(), [1e6, 1e6, 1e6])
  t.same(sessions('--sessions', '1e7', '--only', 'sessions-redis'), [1e7])
  t.same(sessions('--quick'), [1e4, 1e4, 1e4])
  t.throws(() => readScaleArguments(['--sessions', '1e77']), /not a positive whole number/)
  t.throws(() => readScaleArguments(['--only', 'carts']), /no sweep carts/)
  t.throws(() => readScaleArguments(['--simulate']), /--into/)
})

const column: Column = { key: 'cost', label: 'µs', digits: 0, tenfoldUnder: 1.1 }
const options = { rounds: 3, duration_s: 1, warmup_s: 0, connections: 1 }
const bench = { options, cores: null, scratch: '', defer() {} }

/** A sweep whose cost doubles from size to size, while its second round is slow altogether. */
const doubling: Sweep = {
  name: 'doubling',
  title: 'a cost',
  of: 'things',
  columns: [column],
  sizes: [10, 100, 1000, 10_000],
  refuses: (size) => (size === 1000 ? 'too many' : null),
  prepare: async (sizes) =>
    sizes.map((size) => {
      const rounds = [1, 50, 1].map((factor) => factor * 2 ** Math.log10(size))
      return { size, measure: async () => ({ cost: rounds.shift() ?? Number.NaN }) }
    }),
}

t.test('a sweep says how it grows within a round, and what it left out and why', async (t) => {
  const result = await runSweep(doubling, 1000, bench, () => {})
  t.same(
    result.points.map(({ size }) => size),
    [10, 100],
  )
  const [growth] = result.growth
  t.ok(Math.abs((growth?.tenfold ?? 0) - 2) < 1e-9)
  t.same(result.leftOut, ['1,000 things: too many', '10,000 things: not asked for'])
  const text = sweepReport(result, machine(), () => 'the table').join('\n')
  t.match(text, /10 times the things, 2\.00 times the cost/)
  t.match(text, /2\.00 times from 10 to 100\); under 1\.1: missed/)
  t.match(text, /Left out: 1,000 things: too many/)
})

function machine(sweeps: SweepResult[] = []) {
  const described = { cpu: 'a processor', cores: 2, cores_pinned: null, memory_mib: 1, kernel: '' }
  return {
    kind: 'scale' as const,
    date: '',
    node: 'v24',
    machine: { ...described, data_in_memory: false, load_before: 0 },
    sweeps,
    simulation: null,
  }
}

t.test('the time of a verification has none in it that making its token takes', async (t) => {
  let clockMs = 0
  const tokenAt = (index: number) => {
    clockMs += 0.05
    return String(index)
  }
  const seen = new Set<string>()
  const verify = (token: string) => {
    seen.add(token)
    clockMs += 0.02
  }
  const ns = nanosecondsOf({ count: 100, tokenAt }, verify, 1, () => clockMs)
  t.ok(Math.abs(ns - 20_000) < 1, `${ns} ns`)
  t.equal(seen.size, 100, 'each token has its turn')
})
