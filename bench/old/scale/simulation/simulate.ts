import { Random } from '../../fuzz/random.ts'
import { percentile } from '../../harness/statistics.ts'
import { type Assumptions, assumptions, deviceCounts } from './assumptions.ts'
import type { Costs } from './costs.ts'
import { arrivalsOf, type Crowd, delayedBy, exponential } from './devices.ts'
import { type Journey, journeysOf, type Plant, Station } from './queues.ts'

export interface Simulation {
  readonly assumptions: Assumptions
  readonly costs: Costs
  readonly needs: readonly Needs[]
}

/** What so many devices need, and what they get then. */
export interface Needs extends Plan, Latencies {
  readonly devices: number
}

export interface Plan {
  readonly refreshes_per_second: number
  readonly signIns_per_second: number
  /** Busy cores of issuers, and how many there are to be. */
  readonly refreshLoad: number
  readonly refreshCores: number
  readonly hashLoad: number
  readonly hashCores: number
  readonly storeLoad: number
  readonly shards: number
  readonly sessions_bytes: number
  /** Of all primaries; as much again for a replica of each. */
  readonly memory_bytes: number
  /** Sign-outs that verifiers have to know of. */
  readonly feedEntries: number
  /** Null where the feed was not measured. */
  readonly feed: { readonly bytes: number; readonly load_ms: number } | null
}

export interface Latencies {
  readonly refreshP50_ms: number
  readonly refreshP99_ms: number
  readonly signInP99_ms: number
  /** After an outage, until nobody waits for longer than a second any more. */
  readonly recovery_s: number
}

/** So long each is simulated, and so many devices in use at most. */
const simulated_s = 45
const inUseMax = 1_500_000
const day_s = 86_400
/** The same devices each time: what changes a result is the code or the costs. */
const seed = 7

export function simulate(costs: Costs, given: Assumptions = assumptions): Simulation {
  const needs = deviceCounts.map((devices) => {
    const plan = planFor(devices, costs, given)
    return { devices, ...plan, ...latenciesOf(devices, plan, costs, given) }
  })
  return { assumptions: given, costs, needs }
}

/** How much there has to be of everything, by its mean load. */
export function planFor(devices: number, costs: Costs, given: Assumptions): Plan {
  const refreshes_per_second = (devices * given.shareInUse) / given.accessTtl_s
  const signIns_per_second = (devices * given.signInsADay * given.signInsPeak) / day_s
  const sessions_bytes = devices * costs.session_bytes
  const sessionsOfPrimary = (given.redisMemory_bytes * given.memoryShare) / costs.session_bytes
  const growth = growthBeyond(Math.min(devices, sessionsOfPrimary), costs)
  // As many sign out as sign in. That is taken for as much work as a refresh, as what a sign-in has
  // the store do is.
  const answered_per_second = refreshes_per_second + signIns_per_second
  const stored_per_second = answered_per_second + signIns_per_second
  const refreshLoad = (answered_per_second * costs.refresh_us * growth) / 1e6
  const hashLoad = (signIns_per_second * costs.signIn_us) / 1e6
  const storeLoad = (stored_per_second * costs.store_us * growth) / 1e6
  const { feedEntry } = costs
  const feedEntries = Math.ceil(signIns_per_second * given.accessTtl_s)
  return {
    ...{ refreshes_per_second, signIns_per_second, refreshLoad, hashLoad, storeLoad },
    refreshCores: Math.ceil(refreshLoad / given.coreShare),
    hashCores: Math.ceil(hashLoad / given.coreShare),
    shards: Math.max(
      Math.ceil(devices / sessionsOfPrimary),
      Math.ceil(storeLoad / given.coreShare),
    ),
    sessions_bytes,
    memory_bytes: sessions_bytes / given.memoryShare,
    feedEntries,
    feed: feedEntry && {
      bytes: feedEntries * feedEntry.bytes,
      load_ms: (feedEntries * feedEntry.us) / 1000,
    },
  }
}

/** What more sessions in one store than were measured make of the work, if it goes on like that. */
function growthBeyond(sessionsOfShard: number, { sessions, tenfold }: Costs): number {
  return Math.max(1, tenfold) ** Math.max(0, Math.log10(sessionsOfShard / sessions))
}

/** How long requests take, by simulating them one by one. */
export function latenciesOf(
  devices: number,
  plan: Plan,
  costs: Costs,
  given: Assumptions,
): Latencies {
  const slice = sliceOf(devices * given.shareInUse, plan)
  const crowd = crowdOf(devices, plan, given, slice)
  const from_s = simulated_s / 5
  const to_s = from_s + given.outage_s
  const run = (outage: { from_s: number; to_s: number; within_s: number } | null) => {
    const random = new Random(seed)
    const steady = arrivalsOf(crowd, simulated_s, random)
    const arrivals = outage === null ? steady : delayedBy(steady, outage, random)
    return [...journeysOf(arrivals, plantOf(plan, slice, costs, random))]
  }
  const steady = run(null)
  const late = run({ from_s, to_s, within_s: given.retryWithin_s })
    .filter(({ at_s, left_s, kind }) => kind === 'refresh' && at_s >= to_s && left_s - at_s > 1)
    .map(({ left_s }) => left_s - to_s)
  const refreshes = timesOf(steady, 'refresh')
  return {
    refreshP50_ms: percentile(refreshes, 0.5),
    refreshP99_ms: percentile(refreshes, 0.99),
    signInP99_ms: percentile(timesOf(steady, 'sign-in'), 0.99),
    recovery_s: late.reduce((most, one) => Math.max(most, one), 0),
  }
}

/** A part of everything that stands for the whole. */
interface Slice {
  readonly share: number
  readonly refreshCores: number
  readonly hashCores: number
  readonly shards: number
}

/**
 * Some of the cores, with their share of the devices and of the primaries: whoever is sent anywhere at
 * random leaves each as busy as the others, and none hears of another. Of the numbers of cores that
 * could be, it takes the one whose share of the primaries is nearest to a whole number; what is over
 * makes them fuller.
 */
function sliceOf(inUse: number, { refreshCores, hashCores, shards }: Plan): Slice {
  const least = Math.ceil(refreshCores / shards)
  const wanted = Math.floor((refreshCores * inUseMax) / inUse)
  const most = Math.min(refreshCores, Math.max(2 * least, wanted))
  const shardsOf = (cores: number) => Math.floor((shards * cores) / refreshCores + 1e-9)
  const excessOf = (cores: number) => (shards * cores) / refreshCores / shardsOf(cores)
  let cores = most
  for (let fewer = most - 1; fewer >= least; fewer--) {
    if (excessOf(fewer) < excessOf(cores)) cores = fewer
  }
  const share = cores / refreshCores
  const ofHashes = Math.max(1, Math.round(hashCores * share))
  return { share, refreshCores: cores, hashCores: ofHashes, shards: shardsOf(cores) }
}

function crowdOf(devices: number, plan: Plan, given: Assumptions, slice: Slice): Crowd {
  // As many as its cores that hash get, or the rounding of these would make them fuller.
  const signIns_per_second = (plan.signIns_per_second * slice.hashCores) / plan.hashCores
  return {
    devices: Math.round(devices * given.shareInUse * slice.share),
    ttl_s: given.accessTtl_s,
    jitter: given.refreshJitter,
    signIns_per_second,
    signOuts_per_second: signIns_per_second,
  }
}

/** Work of the code varies as if by chance (exponentially), more than it does; a hash takes what it takes. */
function plantOf(plan: Plan, slice: Slice, costs: Costs, random: Random): Plant {
  const { refreshLoad, refreshes_per_second, signIns_per_second, storeLoad } = plan
  const refresh_s = refreshLoad / (refreshes_per_second + signIns_per_second)
  const store_s = storeLoad / (refreshes_per_second + 2 * signIns_per_second)
  const issuers = {
    station: new Station(slice.refreshCores, random),
    service_s: () => exponential(refresh_s, random),
  }
  const hashing = {
    station: new Station(slice.hashCores, random),
    service_s: () => costs.signIn_us / 1e6,
  }
  return {
    issuers: { refresh: issuers, 'sign-out': issuers, 'sign-in': hashing },
    store: {
      station: new Station(slice.shards, random),
      service_s: () => exponential(store_s, random),
    },
  }
}

/** In ascending order. */
function timesOf(journeys: readonly Journey[], kind: Journey['kind']): Float64Array {
  const own = journeys.filter((journey) => journey.kind === kind)
  return Float64Array.from(own, ({ at_s, left_s }) => 1000 * (left_s - at_s)).sort()
}
