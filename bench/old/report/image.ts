import type { SurgeResult, SystemResult } from '../surge/result.ts'
import { duration, linearScale, type Scale, shortNumber } from './charts/scale.ts'
import { drawSeries, type TimeSeries } from './charts/time-chart.ts'
import { goals, isOurs, peakOf, pointsOf, until_sOf, whole } from './figures.ts'
import { type Content, type Markup, tag, textOf } from './markup.ts'
import { chartStyle, colours } from './theme.ts'

/**
 * The picture of a surge: what each system did and failed to do over the time, and the four counts.
 * It stands alone, on a ground of its own, so that any page can show it.
 */

const width = 1000
const margin = 24
const stripRight = 580
const columnsLeft = 600
const columnWidth = 76
const headHeight = 104
const rowHeight = 88
const footHeight = 36

/** How an event is marked, by the name of its step. */
const signs: readonly {
  readonly pattern: RegExp
  readonly sign: string
  readonly label: string
}[] = [
  { pattern: /^kill-/, sign: '×', label: 'a server is killed' },
  { pattern: /^add-/, sign: '+', label: 'a server is added' },
  { pattern: /^fail-over$/, sign: 'R', label: 'the Redis primary fails over' },
  { pattern: /^rotate-keys$/, sign: 'K', label: 'keys rotate' },
  { pattern: /^sign-out$/, sign: 'S', label: 'a user is signed out everywhere' },
]

export function surgeImage(result: SurgeResult): string {
  const picture = drawing(result, { xmlns: 'http://www.w3.org/2000/svg', width })
  return `${textOf(picture)}\n`
}

function drawing(result: SurgeResult, attributes: Record<string, string | number>): Markup {
  const systems = Object.values(result.systems)
  const height = headHeight + systems.length * rowHeight + footHeight
  const until_s = Math.max(1, ...systems.map(until_sOf))
  const x = linearScale({ from: 0, to: until_s }, { from: margin, to: stripRight })
  const most = 10 * result.calibration.unit_per_second * shownBeyond
  const ground = { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 10 }
  return tag(
    'svg',
    { ...attributes, viewBox: `0 0 ${width} ${height}`, role: 'img', class: 'chart picture' },
    tag('title', {}, heading),
    tag('desc', {}, systems.map(inWords).join('. ')),
    tag('style', {}, `${colours('.picture')}${chartStyle}${pictureStyle}`),
    tag('rect', { class: 'ground', ...ground }),
    head(result, systems[0], x, height - footHeight),
    systems.map((system, n) => row(system, headHeight + n * rowHeight, x, most)),
    legend(height - 13),
  )
}

/** What was late is made up for at once, many times the load: of that, so much is shown. */
const shownBeyond = 1.5

const heading = 'A tenfold surge while servers die'

const pictureStyle = `
.ground { fill: var(--page); stroke: var(--line); }
.chart .heading { font-size: 18px; font-weight: 600; }
.chart .name { font-size: 13.5px; font-weight: 600; }
.chart .note, .chart .column { font-size: 11px; fill: var(--soft); }
.chart .count { font-size: 20px; font-weight: 600; fill: currentColor; }
.chart .plain { font-size: 14px; fill: var(--ink); }
.chart .sign { font-size: 10px; font-weight: 700; fill: var(--page); }
.rule { stroke: var(--line); }
`

function head(
  { machine, date, versions, calibration }: SurgeResult,
  first: SystemResult | undefined,
  x: Scale,
  bottom: number,
): Content {
  const commit = versions.gatepass.commit?.slice(0, 8) ?? versions.gatepass.version
  const about = `${machine.cpu}, ${machine.cores} cores · Node ${versions.node} · ${commit} · ${date.slice(0, 10)}`
  const unit = calibration.unit_per_second
  const names = [...goals.map(({ short }) => short), 'p99 at 10×']
  return [
    tag('text', { class: 'heading', x: margin, y: 34 }, heading),
    tag(
      'text',
      { class: 'note', x: margin, y: 54 },
      `Actions a second, ${whole(unit)} at 1× and ${whole(10 * unit)} at 10×; in red, those that failed. What is made up for later is cut off.`,
    ),
    tag('text', { class: 'note', x: width - margin, y: 34, 'text-anchor': 'end' }, about),
    names.map((name, n) => columnHead(name, n)),
    // The script is the same for all, so its instants are marked once.
    (first?.events ?? []).map(({ tMs, name }) => markOf(name, x(tMs / 1000), bottom)),
  ]
}

/** Two words in two lines. */
function columnHead(name: string, n: number): Content {
  const [first = '', ...rest] = name.split(' ')
  const at = { class: 'column', x: middleOf(n), 'text-anchor': 'middle' }
  const lines = rest.length === 0 ? ['', first] : [first, rest.join(' ')]
  return lines.map((line, index) => tag('text', { ...at, y: 78 + index * 14 }, line))
}

function middleOf(column: number): number {
  return columnsLeft + (column + 0.5) * columnWidth
}

function markOf(name: string, x: number, bottom: number): Content {
  const found = signs.find(({ pattern }) => pattern.test(name))
  if (found === undefined) return null
  const line = { class: 'mark', x1: x, x2: x, y1: 92, y2: bottom }
  return [tag('line', line), badge(found.sign, x, 84)]
}

function badge(sign: string, x: number, y: number): Content {
  return [
    tag('circle', { class: 'event-dot', cx: x, cy: y, r: 7 }),
    tag('text', { class: 'sign', x, y: y + 3.5, 'text-anchor': 'middle' }, sign),
  ]
}

function row(system: SystemResult, top: number, x: Scale, most: number): Content {
  const bottom = top + rowHeight - 8
  const linear = linearScale({ from: 0, to: most }, { from: bottom, to: top + 26 })
  const y: Scale = (value) => linear(Math.min(value, most))
  const colour = isOurs(system) ? 'ours' : 'other'
  const done = pointsOf(system, ({ requests }) => requests)
  const failed = pointsOf(system, ({ failures }) => failures)
  const strips: TimeSeries[] = [
    { name: 'actions', className: colour, shape: 'area', points: done },
    { name: 'failed', className: 'failed', shape: 'bars', points: failed },
  ]
  const middle = (top + bottom) / 2 + 10
  const peak = peakOf(system)
  return [
    tag('line', { class: 'rule', x1: margin, x2: width - margin, y1: top, y2: top }),
    tag('text', { class: 'name', x: margin, y: top + 20 }, system.title),
    strips.map((series) => drawSeries(series, x, y, bottom)),
    goals.map(({ read }, n) => count(read(system), n, middle)),
    peak === null ? null : plain(duration(peak.p99), goals.length, middle),
  ]
}

function count(value: number | null, column: number, y: number): Markup {
  if (value === null) return plain('–', column, y)
  const className = `count ${value === 0 ? 'good' : 'failed'}`
  const at = { class: className, x: middleOf(column), y, 'text-anchor': 'middle' }
  return tag('text', at, value < 10_000 ? whole(value) : shortNumber(value))
}

function plain(text: string, column: number, y: number): Markup {
  const at = { class: 'plain', x: middleOf(column), y, 'text-anchor': 'middle' }
  return tag('text', at, text)
}

function legend(y: number): Content {
  let x = margin + 7
  return signs.map(({ sign, label }) => {
    const at = x
    x += 34 + label.length * 6
    return [badge(sign, at, y - 4), tag('text', { class: 'note', x: at + 12, y }, label)]
  })
}

function inWords(system: SystemResult): string {
  const said = goals.map(({ label, read }) => `${read(system) ?? 'no figure for'} ${label}`)
  return `${system.title}: ${said.join(', ')}`
}
