import { readFileSync, writeFileSync } from 'node:fs'
import { formatNumber, type MetricName, metricNames, metricOf } from './metrics.ts'
import type { Provenance, Result, Series } from './result.ts'
import type { Readings } from './scenario.ts'
import { median } from './statistics.ts'

export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** Formats a table for a terminal: the first column left-aligned, figures right-aligned. */
export function textTable({ head, rows }: Table): string {
  const lines = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...lines.map((row) => row[column]?.length ?? 0)))
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
  return lines.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}

/** Formats a table for a document (GitHub Flavored Markdown). */
export function markdownTable({ head, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

export function reportOf(result: Result, render: (table: Table) => string): string {
  const { scenario, title, subjects } = result
  // A scenario without a rate has no duration and no connections.
  const isTimed = subjects.some((one) => valuesOf(one, 'per_second').length > 0)
  const line = provenanceLine(result, isTimed)
  return `${scenario}: ${title}. ${line}\n\n${render(figuresTable(subjects))}`
}

export function readingsLine(readings: Readings): string {
  return metricNames
    .flatMap((name) => {
      const value = readings[name]
      const { label, digits } = metricOf(name)
      return value === undefined ? [] : [`${label} ${formatNumber(value, digits)}`]
    })
    .join(', ')
}

export function provenanceLine(provenance: Provenance, isTimed = true): string {
  const { date, gatepass, node, machine, options } = provenance
  const { rounds, duration_s, connections } = options
  const load = isTimed ? ` of ${duration_s} s, ${connections} connections` : ''
  const pinned = machine.cores_pinned === null ? 'not pinned' : 'pinned to one core each'
  return [
    `${rounds} rounds${load}, server and load ${pinned}.`,
    `Gatepass ${commitText(gatepass)}, Node ${node}, ${machine.cpu} with ${machine.cores} cores,`,
    `load average ${machine.load_before.toFixed(1)} before, ${date.slice(0, 10)}.`,
  ].join(' ')
}

export const commitText = ({ commit, isModified }: Provenance['gatepass']) =>
  `${commit.slice(0, 8)}${isModified ? ' with changes' : ''}`

/** Lists the medians over the rounds for every subject, and its ratios to other subjects. */
export function figuresTable(subjects: readonly Series[]): Table {
  const shown = metricNames.filter((name) => subjects.some((one) => valuesOf(one, name).length > 0))
  const isCompared = subjects.some((one) => ratiosCell(one, subjects) !== '-')
  const headOf = (name: MetricName) => {
    const { label, isMain } = metricOf(name)
    return isMain ? [label, 'min – max'] : [label]
  }
  return {
    head: ['subject', ...shown.flatMap(headOf), ...(isCompared ? ['compared'] : [])],
    rows: subjects.map((series) => [
      series.subject,
      ...shown.flatMap((name) => cellsOf(series, name)),
      ...(isCompared ? [ratiosCell(series, subjects)] : []),
    ]),
  }
}

function cellsOf(series: Series, name: MetricName): string[] {
  const values = valuesOf(series, name)
  const { digits, isMain } = metricOf(name)
  if (values.length === 0) return isMain ? ['-', '-'] : ['-']
  const middle = formatNumber(median(values), digits)
  const ends = [Math.min(...values), Math.max(...values)].map((one) => formatNumber(one, digits))
  return isMain ? [middle, ends.join(' – ')] : [middle]
}

/** Ratios are taken within a round, because other work on the machine affects both figures equally. */
function ratiosCell(series: Series, all: readonly Series[]): string {
  const ratios = (series.comparedWith ?? []).flatMap((name) => {
    const other = all.find(({ subject }) => subject === name)
    if (other === undefined) return []
    const others = valuesOf(other, 'per_core_second')
    const own = valuesOf(series, 'per_core_second')
    const ratio = median(own.map((value, round) => value / (others[round] ?? Number.NaN)))
    return [`${formatNumber(ratio, 2)} of ${name}`]
  })
  return ratios.length === 0 ? '-' : ratios.join('; ')
}

function valuesOf({ readings }: Series, name: MetricName): number[] {
  return readings.flatMap((reading) => reading[name] ?? [])
}

/** Writes a report between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` of a document. */
export function writeInto(document: URL, name: string, report: string): void {
  writeFileSync(document, insertPart(readFileSync(document, 'utf8'), `bench:${name}`, report))
}

/**
 * Replaces the text between the markers `<!-- NAME -->` and `<!-- /NAME -->` of a document.
 *
 * @throws if the document has no such markers
 */
export function insertPart(document: string, name: string, text: string): string {
  const start = `<!-- ${name} -->`
  const end = `<!-- /${name} -->`
  const startAt = document.indexOf(start)
  const endAt = document.indexOf(end)
  if (startAt === -1 || endAt < startAt) throw new Error(`There is no place for ${name}.`)
  return `${document.slice(0, startAt + start.length)}\n${text}\n${document.slice(endAt)}`
}
