import { percentile } from '../harness/statistics.ts'
import type { Assumptions } from './assumptions.ts'
import type { Costs } from './costs.ts'

/** The needs of a number of devices, by their mean load. */
export interface Plan {
  readonly devices: number
  readonly refreshes_per_second: number
  readonly signIns_per_second: number
  /** Busy and planned cores of issuers. */
  readonly refreshLoad: number
  readonly refreshCores: number
  readonly hashLoad: number
  readonly hashCores: number
  readonly storeLoad: number
  readonly primaries: number
  readonly sessions_bytes: number
  /** Memory of all primaries. Replicas need the same again. */
  readonly memory_bytes: number
  /** Sign-outs in the feed. */
  readonly feedEntries: number
  readonly feed_bytes: number
  readonly feedLoad_ms: number
}

export interface Latencies {
  readonly refreshP50_ms: number
  readonly refreshP99_ms: number
  readonly signInP99_ms: number
  /** Time after an outage until no request waits over a second. */
  readonly recovery_s: number
}

const day_s = 86_400

export function planFor(devices: number, costs: Costs, given: Assumptions): Plan {
  const refreshes_per_second = (devices * given.shareInUse) / given.accessTtl_s
  const signIns_per_second = (devices * given.signInsADay * given.signInsPeak) / day_s
  const sessions_bytes = devices * costs.session_bytes
  const sessionsOfPrimary = (given.redisMemory_bytes * given.memoryShare) / costs.session_bytes
  const growth = growthBeyond(Math.min(devices, sessionsOfPrimary), costs)
  // A sign-out, and the store's part of a sign-in, count as one refresh each.
  const answered_per_second = refreshes_per_second + signIns_per_second
  const refreshLoad = (answered_per_second * costs.refresh_us * growth) / 1e6
  const hashLoad = (signIns_per_second * costs.signIn_us) / 1e6
  const storeLoad = ((answered_per_second + signIns_per_second) * costs.store_us * growth) / 1e6
  const feedEntries = Math.ceil(signIns_per_second * given.accessTtl_s)
  const full = Math.ceil(devices / sessionsOfPrimary)
  return {
    ...{ devices, refreshes_per_second, signIns_per_second, refreshLoad, hashLoad, storeLoad },
    refreshCores: Math.ceil(refreshLoad / given.coreShare),
    hashCores: Math.ceil(hashLoad / given.coreShare),
    primaries: Math.max(full, Math.ceil(storeLoad / given.coreShare)),
    sessions_bytes,
    memory_bytes: sessions_bytes / given.memoryShare,
    feedEntries,
    feed_bytes: feedEntries * costs.feedEntry.bytes,
    feedLoad_ms: (feedEntries * costs.feedEntry.us) / 1000,
  }
}

/** Extrapolates the work to more sessions in one store than were measured. */
function growthBeyond(sessionsOfPrimary: number, { sessions, tenfold }: Costs): number {
  return Math.max(1, tenfold) ** Math.max(0, Math.log10(sessionsOfPrimary / sessions))
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
export function latenciesOf(plan: Plan, costs: Costs, given: Assumptions): Latencies {
  const random = createRandom(seed)
  const exponential = (mean: number) => -mean * Math.log1p(-random())
  const lineOf = (load: number, servers: number, each_s: () => number, mean_s: number) => {
    const gap_s = (mean_s * servers) / load
    return waitInLine(requestCount, () => exponential(gap_s), each_s)
  }
  const { refreshes_per_second, signIns_per_second, refreshLoad, storeLoad } = plan
  const refresh_s = refreshLoad / (refreshes_per_second + signIns_per_second)
  const store_s = storeLoad / (refreshes_per_second + 2 * signIns_per_second)
  const hash_s = costs.signIn_us / 1e6
  const issuer = lineOf(refreshLoad, plan.refreshCores, () => exponential(refresh_s), refresh_s)
  const store = lineOf(storeLoad, plan.primaries, () => exponential(store_s), store_s)
  const hashing = lineOf(plan.hashLoad, plan.hashCores, () => hash_s, hash_s)
  const both = (times: Float64Array) => times.map((time, n) => time + (store[n] ?? 0)).sort()
  const [refreshes, signIns] = [both(issuer), both(hashing)]
  return {
    refreshP50_ms: 1000 * percentile(refreshes, 0.5),
    refreshP99_ms: 1000 * percentile(refreshes, 0.99),
    signInP99_ms: 1000 * percentile(signIns, 0.99),
    recovery_s: recovery_s(plan.refreshLoad / plan.refreshCores, given),
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
export function recovery_s(load: number, { outage_s, retryWithin_s }: Assumptions): number {
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
