import { formatNumber } from '../harness/metrics.ts'
import { count, duration, goals, peakOf, readGoal } from './report.ts'
import type { SurgeResult, SystemResult } from './run.ts'

/**
 * Draws a surge: actions and failures of each system over time, and the four counts that should be zero.
 * The picture has its own background, so that any page can show it.
 */

const width = 1000
const margin = 24
const stripRight = 580
const columnsLeft = 600
const columnWidth = 76
const headHeight = 104
const rowHeight = 88
const footHeight = 36
/** Delayed actions catch up at many times the load. The picture cuts off peaks above this multiple of 10×. */
const maxShown = 1.5
const heading = 'A tenfold surge while servers die'

const signs = [
  { pattern: /^kill-/, sign: '×', label: 'a server is killed' },
  { pattern: /^add-/, sign: '+', label: 'a server is added' },
  { pattern: /^fail-over$/, sign: 'R', label: 'the store of the sessions fails over' },
  { pattern: /^rotate-keys$/, sign: 'K', label: 'keys rotate' },
  { pattern: /^sign-out$/, sign: 'S', label: 'a user is signed out everywhere' },
]

const light =
  '--page:#fff;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--ours:#0969da;--other:#6e7781;--failed:#cf222e;--good:#1a7f37'
const dark =
  '--page:#0d1117;--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--ours:#4493f8;--other:#9198a1;--failed:#f85149;--good:#3fb950'
const style = `
svg { ${light} }
@media screen and (prefers-color-scheme: dark) { svg { ${dark} } }
text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: var(--soft); }
.ground { fill: var(--page); stroke: var(--line); }
.heading { font-size: 18px; font-weight: 600; fill: var(--ink); }
.name { font-size: 13.5px; font-weight: 600; fill: var(--ink); paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.count { font-size: 20px; font-weight: 600; fill: currentColor; }
.plain { font-size: 14px; fill: var(--ink); }
.sign { font-size: 10px; font-weight: 700; fill: var(--page); }
.dot { fill: var(--ink); } .rule { stroke: var(--line); }
.mark { stroke: var(--soft); stroke-dasharray: 2 4; stroke-opacity: 0.75; }
.line { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; }
.area { fill: currentColor; fill-opacity: 0.16; } .bar { fill: currentColor; }
.ours { color: var(--ours); } .other { color: var(--other); } .failed { color: var(--failed); } .good { color: var(--good); }
`

export function surgePicture(result: SurgeResult): string {
  const { systems, script, calibration } = result
  const height = headHeight + systems.length * rowHeight + footHeight
  const x = (tMs: number) => margin + (tMs / script.endMs) * (stripRight - margin)
  const most = 10 * calibration.unit_per_second * maxShown
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${heading}</title><desc>${escaped(systems.map(inWords).join('. '))}</desc>`,
    `<style>${style}</style>`,
    `<rect class="ground" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>`,
    ...head(result, x, height - footHeight),
    ...systems.flatMap((system, n) => row(system, headHeight + n * rowHeight, x, most)),
    ...legend(height - 13),
    '</svg>',
  ].join('\n')}\n`
}

type Scale = (tMs: number) => number

function head(result: SurgeResult, x: Scale, bottom: number): string[] {
  const { machine, node, gatepass, date, calibration, script } = result
  const about = `${machine.cpu}, ${machine.cores} cores · Node ${node} · ${gatepass.commit.slice(0, 8)} · ${date.slice(0, 10)}`
  const [one, ten] = [1, 10].map((factor) => formatNumber(factor * calibration.unit_per_second))
  const caption = `Actions a second: ${one} at 1×, ${ten} at 10×; failed in red; peaks cut off.`
  return [
    text(heading, margin, 34, 'class="heading"'),
    text(caption, margin, 54),
    text(about, width - margin, 34, 'text-anchor="end"'),
    ...[...goals.map(({ short }) => short), 'p99 at 10×'].flatMap(columnHead),
    // All systems run the same script, so its steps are marked once.
    ...script.steps.flatMap(({ name, atMs }) => mark(name, x(atMs), bottom)),
  ]
}

function columnHead(name: string, column: number): string[] {
  const [first = '', ...rest] = name.split(' ')
  const lines = rest.length === 0 ? ['', first] : [first, rest.join(' ')]
  return lines.map((line, n) => inColumn(line, column, 78 + n * 14))
}

function mark(name: string, x: number, bottom: number): string[] {
  const sign = signs.find(({ pattern }) => pattern.test(name))?.sign ?? ''
  return [
    `<line class="mark" x1="${near(x)}" x2="${near(x)}" y1="92" y2="${bottom}"/>`,
    ...badge(sign, x, 84),
  ]
}

function badge(sign: string, x: number, y: number): string[] {
  return [
    `<circle class="dot" cx="${near(x)}" cy="${y}" r="7"/>`,
    text(sign, x, y + 3.5, 'class="sign" text-anchor="middle"'),
  ]
}

function row(system: SystemResult, top: number, x: Scale, most: number): string[] {
  const bottom = top + rowHeight - 8
  const y = (value: number) => bottom - (Math.min(value, most) / most) * (bottom - top - 26)
  const colour = system.name.startsWith('gatepass') ? 'ours' : 'other'
  const places = system.series.map(({ tMs, actions }) => `${near(x(tMs))},${near(y(actions))}`)
  const [from, to] = [system.series[0], system.series.at(-1)].map((one) => near(x(one?.tMs ?? 0)))
  const middle = (top + bottom) / 2 + 10
  return [
    `<line class="rule" x1="${margin}" x2="${width - margin}" y1="${top}" y2="${top}"/>`,
    text(system.title, margin, top + 20, 'class="name"'),
    `<path class="area ${colour}" d="M${places.join('L')}L${to},${bottom}L${from},${bottom}Z"/>`,
    `<path class="line ${colour}" d="M${places.join('L')}"/>`,
    ...system.series.flatMap(({ tMs, failures }) => {
      if (failures === 0) return []
      // Failures are visible, however few.
      const barTop = Math.min(y(failures), bottom - 2)
      const size = `y="${near(barTop)}" width="6" height="${near(bottom - barTop)}"`
      return [`<rect class="bar failed" x="${near(x(tMs) - 3)}" ${size}/>`]
    }),
    ...goals.map((goal, column) => {
      const value = readGoal(system, goal)
      if (value === null) return inColumn('–', column, middle, 'plain')
      return inColumn(count(value), column, middle, `count ${value === 0 ? 'good' : 'failed'}`)
    }),
    inColumn(duration(peakOf(system).p99), goals.length, middle, 'plain'),
  ]
}

function inColumn(content: string, column: number, y: number, className = ''): string {
  const x = columnsLeft + (column + 0.5) * columnWidth
  return text(content, x, y, `class="${className}" text-anchor="middle"`)
}

function legend(y: number): string[] {
  let x = margin + 7
  return signs.flatMap(({ sign, label }) => {
    const at = x
    x += 34 + label.length * 6
    return [...badge(sign, at, y - 4), text(label, at + 12, y)]
  })
}

function inWords(system: SystemResult): string {
  const counts = goals.map((goal) => `${readGoal(system, goal) ?? 'no figure for'} ${goal.label}`)
  return `${system.title}: ${counts.join(', ')}`
}

function text(content: string, x: number, y: number, attributes = ''): string {
  return `<text x="${near(x)}" y="${near(y)}" ${attributes}>${escaped(content)}</text>`
}

/** Rounds a coordinate to a tenth of a pixel. */
function near(value: number): number {
  return Math.round(value * 10) / 10
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
