import { type Content, type Markup, tag } from '../markup.ts'
import {
  clockTime,
  decades,
  linearScale,
  logScale,
  niceTicks,
  type Scale,
  timeTicks,
} from './scale.ts'

/** Values over the time of a run, with its phases behind them and its events as lines. */

/** A value at an instant; null where there is none. */
export interface Point {
  readonly at_s: number
  readonly value: number | null
}

export interface TimeSeries {
  readonly name: string
  /** A class of the style sheet, which gives the colour. */
  readonly className: string
  readonly shape: 'area' | 'line' | 'bars'
  readonly points: readonly Point[]
}

/** A part of a run: the darker, the higher its load. */
export interface Band {
  readonly from_s: number
  readonly to_s: number
  readonly label: string
  /** 0 to 1. */
  readonly weight: number
}

export interface TimeChart {
  readonly title: string
  /** What a reader who does not see it should know. */
  readonly description: string
  readonly until_s: number
  readonly series: readonly TimeSeries[]
  readonly bands: readonly Band[]
  /** The instants of events. */
  readonly marks_s: readonly number[]
  readonly isLogarithmic?: boolean
  readonly height?: number
  readonly format: (value: number) => string
}

export const chartWidth = 960
export const plotLeft = 64
export const plotRight = chartWidth - 16

export function timeScale(until_s: number): Scale {
  return linearScale({ from: 0, to: until_s }, { from: plotLeft, to: plotRight })
}

export function timeChart(chart: TimeChart): Markup {
  const height = chart.height ?? 220
  const top = 22
  const bottom = height - 26
  const x = timeScale(chart.until_s)
  const { ticks, y } = verticalAxis(chart, top, bottom)
  return picture(
    chart.title,
    chart.description,
    height,
    chart.bands.map((band) => bandOf(band, x, top, bottom)),
    ticks.map((tick) => gridLine(y(tick), chart.format(tick))),
    timeLabels(chart.until_s, x, bottom),
    chart.marks_s.map((at_s) => markAt(x(at_s), top, bottom)),
    chart.series.map((series) => drawSeries(series, x, y, bottom)),
  )
}

/** The frame of every chart: named for those who hear it, and as wide as there is room. */
export function picture(
  title: string,
  description: string,
  height: number,
  ...content: readonly Content[]
): Markup {
  return tag(
    'svg',
    { class: 'chart', viewBox: `0 0 ${chartWidth} ${height}`, role: 'img' },
    tag('title', {}, title),
    tag('desc', {}, description),
    ...content,
  )
}

function verticalAxis(chart: TimeChart, top: number, bottom: number) {
  const values = chart.series.flatMap(({ points }) =>
    points.flatMap(({ value }) => (value === null ? [] : [value])),
  )
  const max = Math.max(0, ...values)
  const range = { from: bottom, to: top }
  if (!chart.isLogarithmic) {
    const ticks = niceTicks(max)
    return { ticks, y: linearScale({ from: 0, to: ticks.at(-1) ?? 1 }, range) }
  }
  const above = values.filter((value) => value > 0)
  const ticks = decades(above.length > 0 ? Math.min(...above) : 1, max > 0 ? max : 10)
  return { ticks, y: logScale({ from: ticks[0] ?? 1, to: ticks.at(-1) ?? 10 }, range) }
}

export function bandOf(band: Band, x: Scale, top: number, bottom: number): Content {
  const [from, to] = [x(band.from_s), x(band.to_s)]
  const opacity = String(0.03 + 0.13 * band.weight)
  const size = { x: from, y: top, width: Math.max(0, to - from), height: bottom - top }
  const label = { class: 'band-label', x: (from + to) / 2, y: top - 7, 'text-anchor': 'middle' }
  return [
    tag('rect', { class: 'band', ...size, 'fill-opacity': opacity }),
    to - from > band.label.length * 6 ? tag('text', label, band.label) : null,
  ]
}

function gridLine(y: number, label: string): Content {
  return [
    tag('line', { class: 'grid', x1: plotLeft, x2: plotRight, y1: y, y2: y }),
    tag('text', { class: 'tick', x: plotLeft - 8, y: y + 4, 'text-anchor': 'end' }, label),
  ]
}

export function timeLabels(until_s: number, x: Scale, bottom: number): Content {
  return timeTicks(until_s).map((at_s) =>
    tag(
      'text',
      { class: 'tick', x: x(at_s), y: bottom + 18, 'text-anchor': 'middle' },
      clockTime(at_s),
    ),
  )
}

export function markAt(x: number, top: number, bottom: number): Markup {
  return tag('line', { class: 'mark', x1: x, x2: x, y1: top, y2: bottom })
}

export function drawSeries(series: TimeSeries, x: Scale, y: Scale, bottom: number): Content {
  const { className, shape, points, name } = series
  if (shape === 'bars') return barsOf(series, x, y, bottom)
  return unbroken(points).map((run) => {
    const places = run.map(({ at_s, value }) => `${coordinate(x(at_s))},${coordinate(y(value))}`)
    const first = run[0]
    const last = run.at(-1)
    if (first === undefined || last === undefined) return null
    // A single value has no length, and would not be seen.
    const line = `M${places.join('L')}${run.length === 1 ? 'h2' : ''}`
    const area = `${line}L${coordinate(x(last.at_s))},${bottom}L${coordinate(x(first.at_s))},${bottom}Z`
    const title = tag('title', {}, name)
    return [
      shape === 'area' ? tag('path', { class: `area ${className}`, d: area }, title) : null,
      tag('path', { class: `line ${className}`, d: line }, title),
    ]
  })
}

function barsOf(
  { className, points, name }: TimeSeries,
  x: Scale,
  y: Scale,
  bottom: number,
): Content {
  const [first, second] = points
  const step_s = first === undefined || second === undefined ? 1 : second.at_s - first.at_s
  const width = Math.max(2, x(step_s) - x(0) - 0.5)
  return points.map(({ at_s, value }) => {
    if (value === null || value <= 0) return null
    // However few: what failed is to be seen.
    const top = Math.min(y(value), bottom - 2)
    const size = { x: x(at_s) - width / 2, y: top, width, height: bottom - top }
    return tag(
      'rect',
      { class: `bar ${className}`, ...size },
      tag('title', {}, `${name}: ${value}`),
    )
  })
}

function coordinate(value: number): number {
  return Math.round(value * 10) / 10
}

interface Known {
  readonly at_s: number
  readonly value: number
}

/** The runs of points that have a value. */
function unbroken(points: readonly Point[]): Known[][] {
  const runs: Known[][] = [[]]
  for (const { at_s, value } of points) {
    if (value === null) runs.push([])
    else runs.at(-1)?.push({ at_s, value })
  }
  return runs.filter((run) => run.length > 0)
}
