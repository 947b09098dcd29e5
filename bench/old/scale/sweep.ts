import { loadavg } from 'node:os'
import { describeGatepass } from '../harness/machine.ts'
import { runRounds } from '../harness/rounds.ts'
import type { Bench } from '../harness/scenario.ts'
import { median } from '../harness/statistics.ts'
import { growthOf, type Measured } from './growth.ts'
import type { Column, ColumnGrowth, Figures, Point, SweepResult } from './result.ts'

/** One size of a sweep, ready to be measured. */
export interface SizedSubject {
  readonly size: number
  measure(): Promise<Figures>
}

/** What is to be measured at growing sizes. */
export interface Sweep {
  readonly name: string
  readonly title: string
  readonly of: string
  readonly columns: readonly Column[]
  /** All that are of interest, in ascending order. */
  readonly sizes: readonly number[]
  /** Why a size is not measured here; null when it is. */
  refuses?(size: number): string | null
  /** Lays the sizes out, all at once, so that their rounds can be interleaved. */
  prepare(
    sizes: readonly number[],
    bench: Bench,
    tell: (line: string) => void,
  ): Promise<SizedSubject[]>
}

/** Measures a sweep up to a size. */
export async function runSweep(
  sweep: Sweep,
  sizeMax: number,
  bench: Bench,
  tell: (line: string) => void,
): Promise<SweepResult> {
  const { name, title, of, columns } = sweep
  const load_before = loadavg()[0] ?? 0
  const leftOut: string[] = []
  const chosen: number[] = []
  for (const size of sweep.sizes) {
    const reason = size > sizeMax ? 'not asked for' : (sweep.refuses?.(size) ?? null)
    if (reason === null) chosen.push(size)
    else leftOut.push(`${formatSize(size)} ${of}: ${reason}`)
  }
  const prepared = await sweep.prepare(chosen, bench, (line) => tell(`${name}: ${line}`))
  const subjects = prepared.map(({ size, measure }) => ({ name: String(size), measure }))
  const series = await runRounds(subjects, bench.options.rounds, (round, size, figures) =>
    tell(`${name} ${round}/${bench.options.rounds} ${size}: ${figuresLine(columns, figures)}`),
  )
  const points = series.map(({ subject, readings }) => ({ size: Number(subject), readings }))
  return {
    ...{ name, title, of, columns, points, leftOut },
    date: new Date().toISOString(),
    gatepass: describeGatepass(),
    options: bench.options,
    load_before,
    growth: growthsOf(columns, points),
  }
}

/** The middle of what the rounds gave; null when none gave it. */
export function medianOf({ readings }: Point, key: string): number | null {
  const values = readings.flatMap((figures) => figures[key] ?? [])
  return values.length === 0 ? null : median(values)
}

/**
 * How each column grows. A line is laid through the figures of one round, because they met the same
 * weather; the median of the rounds is what counts.
 */
export function growthsOf(columns: readonly Column[], points: readonly Point[]): ColumnGrowth[] {
  return columns
    .filter(({ tenfoldUnder }) => tenfoldUnder !== undefined)
    .flatMap(({ key }) => {
      const rounds = points[0]?.readings.map((_, round) => measuredIn(round, key, points)) ?? []
      const lines = rounds.filter((measured) => measured.length > 1)
      if (lines.length === 0) return []
      const exponent = median(lines.map((measured) => growthOf(measured).exponent))
      const ends = median(lines.map((measured) => last(measured) / first(measured)))
      return [{ key, exponent, tenfold: 10 ** exponent, ends }]
    })
}

function measuredIn(round: number, key: string, points: readonly Point[]): Measured[] {
  return points.flatMap(({ size, readings }) => {
    const value = readings[round]?.[key] ?? 0
    return value > 0 ? [[size, value] as const] : []
  })
}

function first(measured: readonly Measured[]): number {
  return measured[0]?.[1] ?? Number.NaN
}

function last(measured: readonly Measured[]): number {
  return measured.at(-1)?.[1] ?? Number.NaN
}

function figuresLine(columns: readonly Column[], figures: Figures): string {
  return columns
    .flatMap(({ key, label, digits }) => {
      const value = figures[key]
      return value === undefined ? [] : [`${label} ${value.toFixed(digits)}`]
    })
    .join(', ')
}

export function formatSize(size: number): string {
  return size.toLocaleString('en-US')
}
