import { readNewest } from '../harness/result.ts'
import type { Series } from '../harness/rounds.ts'
import { median } from '../harness/statistics.ts'

/** The measured costs of a store, at its largest number of sessions. */
export interface StoreCosts {
  readonly store: string
  readonly sessions: number
  /** Processor time of the issuer per refresh. */
  readonly refresh_us: number
  /** Processor time of the store per refresh, if the store is a separate process. */
  readonly store_us: number
  readonly session_bytes: number
  /** Factor of the work per refresh for ten times the sessions. */
  readonly tenfold: number
}

/** The costs of the simulation, with the sessions on Redis. */
export interface Costs extends StoreCosts {
  readonly signIn_us: number
  /** Size of an entry in the snapshot of the feed, and time to load it. */
  readonly feedEntry: { readonly bytes: number; readonly us: number }
  /** The costs of each store. */
  readonly stores: readonly StoreCosts[]
}

/** @throws if a scenario has no result */
export function readCosts(): Costs {
  const stores = ['SQLite', 'Postgres', 'Redis'].map((store) =>
    storeCostsOf(store, readNewest(`scale-${store.toLowerCase()}`).subjects),
  )
  const [signIn] = readNewest('login').subjects
  const revocations = readNewest('scale-revocations').subjects
  const [least, most] = [revocations[0], revocations.at(-1)]
  const entries = sizeOf(most) - sizeOf(least)
  const ofEach = (metric: 'snapshot_bytes' | 'load_ms') =>
    (valueIn(most, metric) - valueIn(least, metric)) / entries
  return {
    ...(stores.at(-1) as StoreCosts),
    signIn_us: 1e6 / valueIn(signIn, 'per_core_second'),
    feedEntry: { bytes: ofEach('snapshot_bytes'), us: 1000 * ofEach('load_ms') },
    stores,
  }
}

function storeCostsOf(store: string, subjects: readonly Series[]): StoreCosts {
  const most = subjects.at(-1)
  const refresh_us = 1e6 / valueIn(most, 'per_core_second')
  const costs = subjects.map((one) => [sizeOf(one), valueIn(one, 'cost_us')] as const)
  return {
    store,
    sessions: sizeOf(most),
    refresh_us,
    store_us: valueIn(most, 'cost_us') - refresh_us,
    session_bytes: valueIn(most, 'bytes_per_session'),
    tenfold: 10 ** slopeOf(costs),
  }
}

/** `1,000,000 sessions` */
function sizeOf(series: Series | undefined): number {
  return Number(series?.subject.replaceAll(/\D/g, ''))
}

function valueIn(series: Series | undefined, metric: keyof Series['readings'][0]): number {
  const values = series?.readings.flatMap((reading) => reading[metric] ?? []) ?? []
  if (values.length === 0) throw new Error(`${series?.subject} has no ${metric}`)
  return median(values)
}

/** Returns the slope of the least-squares line through the logarithms of both. */
export function slopeOf(points: readonly (readonly [size: number, cost: number])[]): number {
  const logs = points.map(([size, cost]) => [Math.log10(size), Math.log10(cost)] as const)
  const meanOf = (at: 0 | 1) => logs.reduce((sum, pair) => sum + pair[at], 0) / logs.length
  const [x, y] = [meanOf(0), meanOf(1)]
  const spread = logs.reduce((sum, [size]) => sum + (size - x) ** 2, 0)
  return logs.reduce((sum, [size, cost]) => sum + (size - x) * (cost - y), 0) / spread
}
