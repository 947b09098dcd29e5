import type { MetricName } from './metrics.ts'
import type { Series } from './rounds.ts'
import type { Comparison, Target } from './scenario.ts'
import { median, type Summary, summarize } from './statistics.ts'

/** The same comparison by the clock and by processor time. */
export function byRate(comparison: Omit<Comparison, 'metric'>): Comparison[] {
  return (['per_second', 'per_core_second'] as const).map((metric) => ({ ...comparison, metric }))
}

/** `unclear` is the verdict when something else held the limit up. */
export type Verdict = 'met' | 'missed' | 'unclear'

/** The share of a core from which on a figure by the clock says what a subject can do. */
const busyEnough = 0.9

export interface Compared extends Comparison {
  /** The metric itself, or with a limit its share of that. */
  readonly value: Summary
  readonly verdict: Verdict | null
}

/**
 * Sets a figure beside its limit. Shares are taken within each round, because two figures of one
 * round met the same weather; their median is what counts.
 */
export function compare(comparison: Comparison, series: readonly Series[]): Compared {
  const { subject, metric, limit, target } = comparison
  const own = valuesOf(series, subject, metric)
  const others = limit === undefined ? null : valuesOf(series, limit, metric)
  const value = summarize(
    own.map((reading, round) => reading / (others === null ? 1 : (others[round] ?? Number.NaN))),
  )
  if (target === undefined) return { ...comparison, value, verdict: null }
  const isUnclear =
    metric === 'per_second' && series.some((one) => one.subject === limit && wasWaiting(one))
  return { ...comparison, value, verdict: isUnclear ? 'unclear' : judge(value, target) }
}

/** Whether a subject was waiting: for the load, for a disk, or for a core that others used. */
export function wasWaiting({ readings }: Series): boolean {
  const shares = readings.map((reading) => reading.server_busy).filter(isPresent)
  return shares.length > 0 && median(shares) < busyEnough
}

export function isPresent(value: number | undefined): value is number {
  return value !== undefined
}

function valuesOf(series: readonly Series[], subject: string, metric: MetricName): number[] {
  const found = series.find((one) => one.subject === subject)
  if (found === undefined) throw new Error(`there is no subject ${subject}`)
  return found.readings.map((reading) => {
    const value = reading[metric]
    if (value === undefined) throw new Error(`${subject} has no ${metric}`)
    return value
  })
}

function judge(value: Summary, target: Target): Verdict {
  const isMet = 'atLeast' in target ? value.median >= target.atLeast : value.median < target.under
  return isMet ? 'met' : 'missed'
}
