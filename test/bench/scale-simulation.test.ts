import t from 'tap'
import { Random } from '../../bench/old/fuzz/random.ts'
import { assumptions } from '../../bench/old/scale/simulation/assumptions.ts'
import { costsOf } from '../../bench/old/scale/simulation/costs.ts'
import { arrivalsOf, delayedBy, exponential } from '../../bench/old/scale/simulation/devices.ts'
import { EventQueue } from '../../bench/old/scale/simulation/event-queue.ts'
import { journeysOf, Station } from '../../bench/old/scale/simulation/queues.ts'
import { latenciesOf, planFor } from '../../bench/old/scale/simulation/simulate.ts'
import fc from '../support/properties.ts'

const costs = {
  title: 'a store',
  stores: [],
  refresh_us: 100,
  store_us: 10,
  session_bytes: 500,
  sessions: 1e6,
  tenfold: 1.02,
  signIn_us: 25_000,
  feedEntry: { bytes: 50, us: 5 },
}
const crowd = {
  devices: 3_000,
  ttl_s: 300,
  jitter: 0.1,
  signIns_per_second: 0,
  signOuts_per_second: 0,
}
const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 })

t.test('events happen in the order of their time', async () => {
  const times = fc.array(fc.double({ noNaN: true, min: 0, max: 1e9 }))
  fc.assert(
    fc.property(times, (all) => {
      const queue = new EventQueue<number>()
      for (const time of all) queue.add(time, time)
      const taken = all.map(() => queue.take())
      return (
        taken.join() === [...all].sort((a, b) => a - b).join() && !Number.isFinite(queue.next_s)
      )
    }),
  )
})

t.test('each device refreshes once in a lifetime, and they stay apart', async () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const lifetimes = 6
      const all = [...arrivalsOf(crowd, lifetimes * crowd.ttl_s, new Random(seed))]
      const expected = lifetimes * crowd.devices
      const isOrdered = all.every((one, at) => at === 0 || one.at_s >= (all[at - 1]?.at_s ?? 0))
      // Jitter leaves the mean as it is.
      const isOften = Math.abs(all.length / expected - 1) < 0.02
      const third_s = (lifetimes * crowd.ttl_s) / 3
      const thirds = [0, 1, 2].map(
        (third) => all.filter(({ at_s }) => Math.floor(at_s / third_s) === third).length,
      )
      const areEven = thirds.every((count) => Math.abs((3 * count) / expected - 1) < 0.1)
      return isOrdered && isOften && areEven
    }),
    { numRuns: 10 },
  )
})

t.test('whoever signs in refreshes from then on, and whoever signs out does not', async (t) => {
  const count = (more: object) => {
    const until_s = 10 * crowd.ttl_s
    const all = arrivalsOf({ ...crowd, ...more }, until_s, new Random(1))
    return [...all].filter(({ kind }) => kind === 'refresh').length
  }
  // 1 a second for 3,000 s is as many as there are: half of them more in the mean, or half of them less.
  const [more, same, fewer] = [
    count({ signIns_per_second: 1 }),
    count({ signIns_per_second: 1, signOuts_per_second: 1 }),
    count({ signOuts_per_second: 1 }),
  ] as const
  t.ok(Math.abs(more / count({}) - 1.5) < 0.1, String(more))
  // Each that signs out does so when it would have refreshed: one less in its life.
  t.ok(Math.abs(same / count({}) - 0.9) < 0.05, String(same))
  t.ok(Math.abs(fewer / count({}) - 0.5) < 0.1, String(fewer))
})

t.test('an outage loses nobody, and nobody is answered in it', async () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 0, max: 200 }), (seed, from_s) => {
      const random = new Random(seed)
      const all = [...arrivalsOf(crowd, 300, random)]
      const outage = { from_s, to_s: from_s + 30, within_s: 5 }
      const delayed = [...delayedBy(all, outage, random)]
      const isOrdered = delayed.every(
        ({ at_s }, n) => n === 0 || at_s >= (delayed[n - 1]?.at_s ?? 0),
      )
      const isSpared = delayed.every(({ at_s }) => at_s < from_s || at_s >= from_s + 30)
      return delayed.length === all.length && isOrdered && isSpared
    }),
    { numRuns: 20 },
  )
})

const lineLasts_s = 60

/** A single line in which work takes chance times, and nothing behind it. */
function lineOf(share: number, seed: number) {
  const random = new Random(seed)
  const perSecond = 1_000
  const service_s = () => exponential(share / perSecond, random)
  const issuers = { station: new Station(1, random), service_s }
  const plant = {
    issuers: { refresh: issuers, 'sign-in': issuers, 'sign-out': issuers },
    store: { station: new Station(1, random), service_s: () => 0 },
  }
  const busy = { ...crowd, devices: perSecond * crowd.ttl_s }
  return [...journeysOf(arrivalsOf(busy, lineLasts_s, random), plant)]
}

t.test('one line waits as long as theory says (M/M/1)', async (t) => {
  for (const share of [0.3, 0.6, 0.8]) {
    const times = lineOf(share, 3).map(({ at_s, left_s }) => left_s - at_s)
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length
    const theory = share / 1_000 / (1 - share)
    t.ok(Math.abs(mean / theory - 1) < 0.08, `${share}: ${mean / theory}`)
    const p99 = times.sort((a, b) => a - b)[Math.floor(0.99 * times.length)] ?? 0
    t.ok(Math.abs(p99 / (theory * Math.log(100)) - 1) < 0.15, `${share}: p99 ${p99}`)
  }
})

t.test("as many are inside as come in the time that one stays (Little's law)", async (t) => {
  for (const share of [0.3, 0.8]) {
    const all = lineOf(share, 11)
    const [from_s, to_s] = [5, lineLasts_s - 5]
    const instants = 4_000
    let inside = 0
    const arrived = all.map(({ at_s }) => at_s).sort((a, b) => a - b)
    const left = all.map(({ left_s }) => left_s).sort((a, b) => a - b)
    const upTo = (sorted: number[], instant: number) => {
      let [low, high] = [0, sorted.length]
      while (low < high) {
        const middle = (low + high) >> 1
        if ((sorted[middle] ?? 0) <= instant) low = middle + 1
        else high = middle
      }
      return low
    }
    for (let n = 0; n < instants; n++) {
      const instant = from_s + ((to_s - from_s) * n) / instants
      inside += upTo(arrived, instant) - upTo(left, instant)
    }
    const stay_s = all.reduce((sum, { at_s, left_s }) => sum + left_s - at_s, 0) / all.length
    const little = (all.length / lineLasts_s) * stay_s
    t.ok(Math.abs(inside / instants / little - 1) < 0.1, `${share}: ${inside / instants} ${little}`)
  }
})

/** So that a core has few devices, and there is less to simulate. */
const slow = { ...costs, refresh_us: 2_000, store_us: 200, signIn_us: 100_000 }

const counts = fc.integer({ min: 1e5, max: 1e9 })

t.test('more devices never need less, nor does costlier work', async () => {
  const needs = ['refreshCores', 'hashCores', 'memory_bytes', 'feedEntries'] as const
  const factors = fc.double({ min: 1, max: 20, noNaN: true })
  fc.assert(
    fc.property(counts, factors, factors, (devices, more, costlier) => {
      const plan = planFor(devices, costs, assumptions)
      const refresh_us = costlier * costs.refresh_us
      return [
        planFor(devices * more, costs, assumptions),
        planFor(devices, { ...costs, refresh_us }, assumptions),
      ].every((other) => needs.every((need) => other[need] >= plan[need]))
    }),
  )
})

t.test('no core is planned fuller than it may be', async () => {
  fc.assert(
    fc.property(counts, (devices) => {
      const plan = planFor(devices, costs, assumptions)
      const { coreShare, memoryShare, redisMemory_bytes } = assumptions
      return (
        plan.refreshLoad / plan.refreshCores <= coreShare + 1e-9 &&
        plan.hashLoad / plan.hashCores <= coreShare + 1e-9 &&
        plan.storeLoad / plan.shards <= coreShare + 1e-9 &&
        plan.sessions_bytes / plan.shards <= memoryShare * redisMemory_bytes * (1 + 1e-9)
      )
    }),
  )
})

t.test('a fuller system answers later and takes longer to recover', async (t) => {
  const devices = 1e6
  const at = (coreShare: number) => {
    const given = { ...assumptions, coreShare }
    return latenciesOf(devices, planFor(devices, slow, given), slow, given)
  }
  const [empty, full] = [at(0.3), at(0.9)]
  t.ok(full.refreshP99_ms > 2 * empty.refreshP99_ms)
  t.ok(full.recovery_s > empty.recovery_s)
  t.ok(empty.refreshP50_ms < empty.refreshP99_ms)
})

t.test('a slice answers as the whole does', async (t) => {
  const at = (devices: number) =>
    latenciesOf(devices, planFor(devices, slow, assumptions), slow, assumptions)
  const [some, many] = [at(9e6), at(3e8)]
  t.ok(Math.abs(some.refreshP99_ms / many.refreshP99_ms - 1) < 0.25)
})

t.test('there is no simulation of costs that were not measured', async (t) => {
  t.equal(costsOf([]), null)
  t.equal(planFor(1e6, { ...costs, feedEntry: null }, assumptions).feed, null)
})
