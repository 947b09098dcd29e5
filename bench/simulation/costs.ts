import { readNewest, type Series } from '../harness/result.ts'
import { median } from '../harness/statistics.ts'

export type Costs = ReturnType<typeof readCosts>

/**
 * The measured costs, with the sessions on Redis.
 * @throws if a scenario has no result
 */
export function readCosts() {
  const [SQLite, Postgres, Redis] = [costsOf('SQLite'), costsOf('Postgres'), costsOf('Redis')]
  const revocations = readNewest('scale-revocations').subjects
  const [least, most] = [revocations[0], revocations.at(-1)]
  const ofEachEntry = (metric: 'snapshot_bytes' | 'load_ms') =>
    (valueIn(most, metric) - valueIn(least, metric)) / (sizeOf(most) - sizeOf(least))
  return {
    ...Redis,
    signIn_us: 1e6 / valueIn(readNewest('login').subjects[0], 'per_core_second'),
    /** Size of an entry in the snapshot of the feed, and time to load it. */
    feedEntry: { bytes: ofEachEntry('snapshot_bytes'), us: 1000 * ofEachEntry('load_ms') },
    stores: [SQLite, Postgres, Redis],
  }
}

/** The costs of a store, at its largest number of sessions. */
function costsOf(store: string) {
  const { subjects } = readNewest(`scale-${store.toLowerCase()}`)
  const most = subjects.at(-1)
  const refresh_us = 1e6 / valueIn(most, 'per_core_second')
  const costs = subjects.map((one) => [sizeOf(one), valueIn(one, 'cost_us')] as const)
  return {
    store,
    sessions: sizeOf(most),
    /** Processor time per refresh, of the issuer and of a store in a process of its own. */
    refresh_us,
    store_us: valueIn(most, 'cost_us') - refresh_us,
    session_bytes: valueIn(most, 'bytes_per_session'),
    /** Factor of the work per refresh for ten times the sessions. */
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
