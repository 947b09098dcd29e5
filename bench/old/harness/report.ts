import { isPresent, wasWaiting } from './compare.ts'
import { formatNumber, type MetricName, metricNames, metrics } from './metrics.ts'
import type { Result } from './result.ts'
import type { Readings, Target } from './scenario.ts'
import { type Summary, summarize } from './statistics.ts'
import { markdownTable, type Table, textTable } from './table.ts'

/** A result for a terminal. */
export function textReport(result: Result): string {
  return `${parts(result, textTable).join('\n\n')}\n`
}

/** A result for a document. */
export function markdownReport(result: Result): string {
  return parts(result, markdownTable).join('\n\n')
}

function parts(result: Result, render: (table: Table) => string): string[] {
  const waited = result.subjects.filter(wasWaiting).map(({ subject }) => subject)
  return [
    heading(result),
    render(figuresTable(result)),
    ...(result.comparisons.length > 0 ? [render(comparisonsTable(result))] : []),
    ...(waited.length > 0
      ? [`Not busy all the time, so compare by the core-second: ${waited.join(', ')}.`]
      : []),
  ]
}

/** What one measurement gave, in one line. */
export function readingsLine(readings: Readings): string {
  return metricNames
    .flatMap((name) => {
      const value = readings[name]
      const { label, digits } = metrics[name]
      return value === undefined ? [] : [`${label} ${formatNumber(value, digits)}`]
    })
    .join(', ')
}

/** What was measured, on what. */
export function heading({
  scenario,
  title,
  date,
  gatepass,
  node,
  machine,
  packages = {},
  options,
}: Result): string {
  const { rounds, duration_s, connections } = options
  const version = gatepass.commit?.slice(0, 8) ?? gatepass.version
  const pinned = machine.cores_pinned === null ? 'not pinned' : 'pinned to one core each'
  return [
    `${scenario}: ${title}.`,
    `${rounds} rounds of ${duration_s} s, ${connections} connections, server and load ${pinned}.`,
    `Gatepass ${version}${gatepass.isModified ? ' with changes' : ''}, Node ${node},`,
    `${machine.cpu} with ${machine.cores} cores, load average ${machine.load_before.toFixed(1)} before,`,
    `${date.slice(0, 10)}.`,
    ...versionsLine(packages),
  ].join(' ')
}

function versionsLine(packages: Readonly<Record<string, string>>): string[] {
  const all = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
  return all.length === 0 ? [] : [`With ${all.join(', ')}.`]
}

/** Every subject and what was measured of it, medians over the rounds. */
export function figuresTable({ subjects }: Result): Table {
  const shown = metricNames.filter((name) =>
    subjects.some(({ readings }) => readings.some((reading) => reading[name] !== undefined)),
  )
  return {
    head: ['subject', ...shown.flatMap(columnsOf)],
    rows: subjects.map(({ subject, readings }) => [
      subject,
      ...shown.flatMap((name) =>
        cellsOf(name, readings.map((reading) => reading[name]).filter(isPresent)),
      ),
    ]),
  }
}

function columnsOf(name: MetricName): string[] {
  const { label, isMain } = metrics[name]
  return isMain ? [label, 'min – max'] : [label]
}

function cellsOf(name: MetricName, values: readonly number[]): string[] {
  const { digits, isMain } = metrics[name]
  if (values.length === 0) return isMain ? ['-', '-'] : ['-']
  const summary = summarize(values)
  const middle = formatNumber(summary.median, digits)
  return isMain ? [middle, spread(summary, digits)] : [middle]
}

/** Each figure beside its limit, and what became of the target. */
export function comparisonsTable({ comparisons }: Result): Table {
  return {
    head: ['compared', 'measure', 'beside', 'value', 'min – max', 'target', 'verdict'],
    rows: comparisons.map(({ subject, metric, limit, value, target, verdict }) => {
      const { label, digits: ownDigits } = metrics[metric]
      const digits = limit === undefined ? ownDigits : 2
      return [
        subject,
        label,
        limit ?? '-',
        formatNumber(value.median, digits),
        spread(value, digits),
        target === undefined ? '-' : formatTarget(target),
        verdict ?? '-',
      ]
    }),
  }
}

function spread({ min, max }: Summary, digits: number): string {
  return `${formatNumber(min, digits)} – ${formatNumber(max, digits)}`
}

function formatTarget(target: Target): string {
  return 'atLeast' in target
    ? `at least ${target.atLeast.toLocaleString('en-US')}`
    : `under ${target.under.toLocaleString('en-US')}`
}
