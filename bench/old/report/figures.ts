import type { Moment, Phase, SystemResult } from '../surge/result.ts'
import type { Band, Point } from './charts/time-chart.ts'
import { type Content, tag } from './markup.ts'

/** What page, picture and table all show of a system: one place says what counts, and how it reads. */

export interface Goal {
  readonly label: string
  readonly short: string
  /** Null where it can't be asked of the system. */
  read(system: SystemResult): number | null
}

/** The four that should be zero. */
export const goals: readonly Goal[] = [
  {
    label: 'failed actions',
    short: 'failed',
    read: ({ totals }) => totals.failures,
  },
  {
    label: 'users signed out',
    short: 'signed out',
    read: ({ totals }) => totals.signedOut,
  },
  {
    label: 'carts that lost an item',
    short: 'carts lost',
    read: ({ totals }) => totals.cartsWithLoss,
  },
  {
    label: 'sign-outs later than 1 s',
    short: 'late sign-outs',
    read: ({ totals }) => (totals.signOuts === 0 ? null : totals.lateSignOuts),
  },
]

export function isOurs({ name }: SystemResult): boolean {
  return name === 'gatepass'
}

/** The phase with the highest load: there all of the trouble is. */
export function peakOf({ phases }: SystemResult): Phase | null {
  return phases.reduce<Phase | null>(
    (most, one) => (most === null || one.factor > most.factor ? one : most),
    null,
  )
}

export function until_sOf({ phases, series }: SystemResult): number {
  return Math.max(1, ...phases.map(({ endMs }) => endMs), ...series.map(({ tMs }) => tMs)) / 1000
}

export function bandsOf({ phases }: SystemResult): Band[] {
  const highest = Math.max(1, ...phases.map(({ factor }) => factor))
  return phases.map(({ startMs, endMs, factor }) => ({
    from_s: startMs / 1000,
    to_s: endMs / 1000,
    label: `${factor}×`,
    weight: factor / highest,
  }))
}

export function pointsOf(
  { series }: SystemResult,
  read: (moment: Moment) => number | null,
): Point[] {
  return series.map((moment) => ({ at_s: moment.tMs / 1000, value: read(moment) }))
}

export function whole(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** A count that should be zero. */
export function coloured(count: number | null): Content {
  if (count === null) return '–'
  return tag('span', { class: count === 0 ? 'good' : 'failed' }, whole(count))
}
