import { type Content, type Markup, tag } from '../markup.ts'
import {
  type Band,
  bandOf,
  chartWidth,
  markAt,
  picture,
  plotRight,
  timeLabels,
  timeScale,
} from './time-chart.ts'

/** What happened when, as texts on a time line that don't cover one another. */

export interface TimeEvent {
  readonly at_s: number
  readonly label: string
}

const rowHeight = 22
/** About what a letter takes at 12 pixels: SVG can't measure before it is drawn. */
const letterWidth = 6.6
const gap = 14

export function eventChart(
  title: string,
  until_s: number,
  bands: readonly Band[],
  events: readonly TimeEvent[],
): Markup {
  const x = timeScale(until_s)
  const placed = placeInRows(events, x, plotRight)
  const rows = Math.max(1, ...placed.map(({ row }) => row + 1))
  const top = 22
  const bottom = top + rows * rowHeight + 10
  return picture(
    title,
    events.map(({ at_s, label }) => `${Math.round(at_s)} s: ${label}`).join('; '),
    bottom + 26,
    bands.map((band) => bandOf(band, x, top, bottom)),
    placed.map((one) => drawEvent(one, top, bottom)),
    timeLabels(until_s, x, bottom),
  )
}

interface PlacedEvent {
  readonly label: string
  readonly x: number
  readonly row: number
  /** Whether its text ends at the instant, because there is no room behind it. */
  readonly isBefore: boolean
}

/** The first row in which there is room, from left to right. */
export function placeInRows(
  events: readonly TimeEvent[],
  x: (at_s: number) => number,
  right: number,
): PlacedEvent[] {
  const taken: { from: number; to: number }[][] = []
  return [...events]
    .sort((a, b) => a.at_s - b.at_s)
    .map(({ at_s, label }) => {
      const at = x(at_s)
      const width = label.length * letterWidth + gap
      const isBefore = at + width > Math.min(right, chartWidth)
      const [from, to] = isBefore ? [at - width, at + 6] : [at - 6, at + width]
      const free = taken.findIndex((row) => row.every((one) => to < one.from || from > one.to))
      const row = free === -1 ? taken.length : free
      taken[row] = [...(taken[row] ?? []), { from, to }]
      return { label, x: at, row, isBefore }
    })
}

function drawEvent({ label, x, row, isBefore }: PlacedEvent, top: number, bottom: number): Content {
  const y = top + (row + 0.5) * rowHeight + 5
  const text = { class: 'event-label', x: isBefore ? x - 9 : x + 9, y: y + 4 }
  return [
    markAt(x, top, bottom),
    tag('circle', { class: 'event-dot', cx: x, cy: y, r: 4.5 }),
    tag('text', { ...text, 'text-anchor': isBefore ? 'end' : 'start' }, label),
  ]
}
