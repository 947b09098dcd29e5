import { isPresent } from '../harness/compare.ts'
import { formatNumber, type MetricName, metricNames, metrics } from '../harness/metrics.ts'
import type { Table } from '../harness/table.ts'
import { type Finding, findingOf, isRegression, type Ratio, ratioOf } from './ratio.ts'
import type { Pair } from './run.ts'

/** Of these more is better; of all others less. */
const moreIsBetter: ReadonlySet<MetricName> = new Set([
  'per_second',
  'per_core_second',
  'beside_per_second',
])
/** What says where time went, and is not better or worse by itself. */
const notCompared: ReadonlySet<MetricName> = new Set(['server_busy', 'load_busy', 'store_busy'])
/** By the clock all that the machine does counts: shown, and held against nobody. */
const notJudged: ReadonlySet<MetricName> = new Set(['per_second', 'p50_ms', 'p99_ms'])

export interface RevisionRow {
  readonly scenario: string
  readonly subject: string
  readonly metric: MetricName
  readonly ratio: Ratio
  readonly finding: Finding
  readonly isRegression: boolean
}

/** Each metric that both sides have of a subject, ours beside that of the revision. */
export function rowsOf({ scenario, subject, ours, theirs }: Pair, share: number): RevisionRow[] {
  return metricNames.flatMap((metric) => {
    const own = valuesOf(ours, metric)
    const other = valuesOf(theirs, metric)
    if (notCompared.has(metric) || own.length < 2 || own.length !== other.length) return []
    const ratio = ratioOf(own, other)
    const isMore = moreIsBetter.has(metric)
    return {
      scenario,
      subject,
      metric,
      ratio,
      finding: findingOf(ratio, isMore),
      isRegression: !notJudged.has(metric) && isRegression(ratio, isMore, share),
    }
  })
}

function valuesOf(readings: Pair['ours'], metric: MetricName): number[] {
  return readings.map((reading) => reading[metric]).filter(isPresent)
}

export function revisionTable(rows: readonly RevisionRow[]): Table {
  return {
    head: ['scenario', 'subject', 'measure', 'ratio', '95 % interval', 'shown', 'verdict'],
    rows: rows.map(({ scenario, subject, metric, ratio, finding, isRegression }) => [
      scenario,
      subject,
      metrics[metric].label,
      formatNumber(ratio.value, 3),
      `${formatNumber(ratio.low, 3)} – ${formatNumber(ratio.high, 3)}`,
      finding,
      isRegression ? 'REGRESSION' : '-',
    ]),
  }
}
