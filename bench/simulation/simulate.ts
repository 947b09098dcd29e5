import { percentile } from '../harness/statistics.ts'
import type { Costs } from './costs.ts'

/** Assumptions of the simulation. All other values are measured. */
const assumptions = {
  accessTtl_s: 300,
  /** Share of the signed-in devices that are in use in the busiest minute. */
  shareInUse: 0.1,
  signInsADay: 0.01,
  /** Factor of the mean in the busiest minute. As many users sign out. */
  signInsPeak: 3,
  /** Planned load of a core, of issuers and of Redis. */
  coreShare: 0.6,
  /** Planned use of a Redis server's memory. A rewrite of its file needs the rest. */
  memoryShare: 0.6,
  redisMemory_bytes: 24e9,
  /** Length of an outage. Its requests arrive within `retryWithin_s` after it. */
  outage_s: 10,
  retryWithin_s: 2,
}

type Plan = ReturnType<typeof planFor>

export const deviceCounts = [1e6, 1e7, 1e8, 1e9]
const day_s = 86_400

/** The needs of a number of devices, by their mean load. */
export function planFor(devices: number, costs: Costs) {
  const refreshes_per_second = (devices * assumptions.shareInUse) / assumptions.accessTtl_s
  const signIns_per_second = (devices * assumptions.signInsADay * assumptions.signInsPeak) / day_s
  const sessions_bytes = devices * costs.session_bytes
  const sessionsOfPrimary =
    (assumptions.redisMemory_bytes * assumptions.memoryShare) / costs.session_bytes
  // Extrapolates the work to more sessions in one store than were measured.
  const decades = Math.log10(Math.min(devices, sessionsOfPrimary) / costs.sessions)
  const growth = Math.max(1, costs.tenfold) ** Math.max(0, decades)
  // A sign-out, and the store's part of a sign-in, count as one refresh each.
  const answered_per_second = refreshes_per_second + signIns_per_second
  const refreshLoad = (answered_per_second * costs.refresh_us * growth) / 1e6
  const hashLoad = (signIns_per_second * costs.signIn_us) / 1e6
  const storeLoad = ((answered_per_second + signIns_per_second) * costs.store_us * growth) / 1e6
  const feedEntries = Math.ceil(signIns_per_second * assumptions.accessTtl_s)
  const full = Math.ceil(devices / sessionsOfPrimary)
  return {
    devices,
    refreshes_per_second,
    signIns_per_second,
    refreshLoad,
    hashLoad,
    storeLoad,
    refreshCores: Math.ceil(refreshLoad / assumptions.coreShare),
    hashCores: Math.ceil(hashLoad / assumptions.coreShare),
    primaries: Math.max(full, Math.ceil(storeLoad / assumptions.coreShare)),
    sessions_bytes,
    /** Memory of all primaries. Replicas need as much again. */
    memory_bytes: sessions_bytes / assumptions.memoryShare,
    feedEntries,
    feed_bytes: feedEntries * costs.feedEntry.bytes,
    feedLoad_ms: (feedEntries * costs.feedEntry.us) / 1000,
  }
}

/** Simulated requests of each kind. */
const requestCount = 300_000
/** A fixed seed, so that only code and costs change a result. */
const seed = 7

/**
 * Simulates how long requests take. The balancer sends each request to a random core, and the hash of a
 * key selects a primary. Each core and primary is therefore a queue with random arrivals (Poisson), and
 * one queue of each kind represents all. Work varies exponentially; a password hash takes constant time.
 */
export function latenciesOf(plan: Plan, costs: Costs) {
  const random = createRandom(seed)
  const exponential = (mean: number) => -mean * Math.log1p(-random())
  const lineOf = (load: number, servers: number, mean_s: number, each_s = exponential) => {
    const gap_s = (mean_s * servers) / load
    return waitInLine(
      requestCount,
      () => exponential(gap_s),
      () => each_s(mean_s),
    )
  }
  const { refreshes_per_second, signIns_per_second, refreshLoad, storeLoad } = plan
  const refresh_s = refreshLoad / (refreshes_per_second + signIns_per_second)
  const store_s = storeLoad / (refreshes_per_second + 2 * signIns_per_second)
  const issuer = lineOf(refreshLoad, plan.refreshCores, refresh_s)
  const store = lineOf(storeLoad, plan.primaries, store_s)
  const hash_s = costs.signIn_us / 1e6
  const hashing = lineOf(plan.hashLoad, plan.hashCores, hash_s, () => hash_s)
  const both = (times: Float64Array) => times.map((time, n) => time + (store[n] ?? 0)).sort()
  const [refreshes, signIns] = [both(issuer), both(hashing)]
  return {
    refreshP50_ms: 1000 * percentile(refreshes, 0.5),
    refreshP99_ms: 1000 * percentile(refreshes, 0.99),
    signInP99_ms: 1000 * percentile(signIns, 0.99),
    recovery_s: recovery_s(plan.refreshLoad / plan.refreshCores),
  }
}

/** Computes the time of each request in a first-come, first-served queue (Lindley). */
export function waitInLine(count: number, gap_s: () => number, each_s: () => number): Float64Array {
  let left_s = 0
  return new Float64Array(count).map(() => {
    left_s = Math.max(0, left_s - gap_s()) + each_s()
    return left_s
  })
}

/**
 * Returns when the last request that waited over a second is answered after an outage. Requests of the
 * outage arrive evenly soon after it, in addition to the usual load. The core works through the backlog
 * with its remaining capacity.
 */
export function recovery_s(load: number): number {
  const { outage_s, retryWithin_s } = assumptions
  const rate = load * (1 + outage_s / retryWithin_s)
  const backlog_s = Math.max(0, (rate - 1) * retryWithin_s)
  return backlog_s <= 1 ? 0 : retryWithin_s + (backlog_s - 1) / (1 - load) + 1
}

/** Creates reproducible random numbers from 0 to below 1 (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
