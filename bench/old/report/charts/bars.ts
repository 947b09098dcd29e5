import { type Content, type Markup, tag } from '../markup.ts'
import { linearScale, niceTicks } from './scale.ts'
import { chartWidth, picture } from './time-chart.ts'

/** Values beside one another, each with its spread and the limit that it is held against. */

export interface Bar {
  readonly label: string
  readonly value: number
  readonly min?: number
  readonly max?: number
  readonly limit?: number
  /** The class that gives the colour. */
  readonly className: string
}

const barLeft = 330
const barRight = chartWidth - 110
const rowHeight = 30

export function barChart(
  title: string,
  bars: readonly Bar[],
  format: (value: number) => string,
): Markup {
  const most = Math.max(0, ...bars.flatMap((bar) => [bar.value, bar.max ?? 0, bar.limit ?? 0]))
  const ticks = niceTicks(most, 5)
  const x = linearScale({ from: 0, to: ticks.at(-1) ?? 1 }, { from: barLeft, to: barRight })
  const bottom = 10 + bars.length * rowHeight
  const description = bars.map(({ label, value }) => `${label} ${format(value)}`).join(', ')
  return picture(
    title,
    description,
    bottom + 26,
    ticks.map((tick) => verticalLine(x(tick), bottom, format(tick))),
    bars.map((bar, n) => drawBar(bar, 10 + n * rowHeight, x, format)),
  )
}

function verticalLine(x: number, bottom: number, label: string): Content {
  return [
    tag('line', { class: 'grid', x1: x, x2: x, y1: 6, y2: bottom }),
    tag('text', { class: 'tick', x, y: bottom + 18, 'text-anchor': 'middle' }, label),
  ]
}

function drawBar(
  bar: Bar,
  top: number,
  x: (value: number) => number,
  format: (value: number) => string,
): Content {
  const { label, value, min, max, limit, className } = bar
  const middle = top + rowHeight / 2
  const end = Math.max(x(value), barLeft + 2)
  const size = { x: barLeft, y: top + 6, width: end - barLeft, height: rowHeight - 12, rx: 2 }
  const valueAt = Math.max(end, x(max ?? 0)) + 10
  return [
    tag(
      'text',
      { class: 'bar-label', x: barLeft - 10, y: middle + 4, 'text-anchor': 'end' },
      label,
    ),
    tag('rect', { class: `bar ${className}`, ...size }),
    min === undefined || max === undefined || min === max ? null : whisker(x(min), x(max), middle),
    limit === undefined ? null : limitLine(x(limit), top),
    tag('text', { class: 'bar-value', x: valueAt, y: middle + 4 }, format(value)),
  ]
}

function whisker(from: number, to: number, y: number): Content {
  const ends = [from, to].map((x) =>
    tag('line', { class: 'whisker', x1: x, x2: x, y1: y - 4, y2: y + 4 }),
  )
  return [tag('line', { class: 'whisker', x1: from, x2: to, y1: y, y2: y }), ends]
}

function limitLine(x: number, top: number): Content {
  return tag('line', { class: 'limit', x1: x, x2: x, y1: top + 2, y2: top + rowHeight - 2 })
}
