import type { Phase, SystemResult } from '../surge/result.ts'
import { eventChart } from './charts/event-chart.ts'
import { duration, shortNumber } from './charts/scale.ts'
import { type TimeSeries, timeChart } from './charts/time-chart.ts'
import { bandsOf, coloured, goals, isOurs, peakOf, pointsOf, until_sOf, whole } from './figures.ts'
import { figure, htmlTable, type Key, section } from './html.ts'
import { type Content, type Markup, tag } from './markup.ts'

/** What a page says of a surge: all systems in one table, then each by itself. */

export function tiles(system: SystemResult): Markup {
  return tag(
    'ul',
    { class: 'tiles' },
    goals.map(({ label, read }) =>
      tag(
        'li',
        { class: 'tile' },
        tag('strong', {}, coloured(read(system))),
        tag('span', {}, label),
      ),
    ),
  )
}

export function comparisonTable(systems: readonly SystemResult[]): Markup {
  return htmlTable({
    caption: 'Every system under the same script',
    head: [
      'system',
      'actions',
      ...goals.map(({ label }) => label),
      'made good by a retry',
      ...times,
      'most a second',
    ],
    rows: systems.map((system) => [
      tag('a', { href: `#${idOf(system)}` }, system.title),
      whole(system.totals.actions),
      ...goals.map(({ read }) => coloured(read(system))),
      whole(system.totals.firstFailures - system.totals.failures),
      ...timesOf(peakOf(system)),
      whole(system.capacity_per_second),
    ]),
  })
}

const times = ['p50 at the peak', 'p99', 'p99.9']

function timesOf(phase: Phase | null): string[] {
  return phase === null ? ['–', '–', '–'] : [phase.p50, phase.p99, phase.p999].map(duration)
}

export function idOf({ name }: SystemResult): string {
  return `system-${name.replaceAll(/[^a-z0-9]+/gi, '-')}`
}

export function systemSection(system: SystemResult): Markup {
  const { title, setUp, events } = system
  const told = events
    .filter(({ applies }) => applies)
    .map(({ tMs, name, detail }) => ({ at_s: tMs / 1000, label: labelOf(name, detail) }))
  const happened = eventChart(`${title}: events`, until_sOf(system), bandsOf(system), told)
  return section(
    idOf(system),
    title,
    tag(
      'ul',
      { class: 'soft' },
      setUp.map((line) => tag('li', {}, line)),
    ),
    figure('What happened', happened),
    spared(system),
    loadFigure(system),
    latencyFigure(system),
    phaseTable(system),
    kindTable('What users saw fail', system.totals.failuresByKind),
    kindTable('What the server said to users who were signed out', system.totals.signedOutByReason),
    kindTable('What failed at first, retries aside', system.totals.firstFailuresByKind),
    remarks(system),
  )
}

/** What was done, with what it was done to: most details say both. */
function labelOf(name: string, detail: string): string {
  const step = names.get(name)
  return step === undefined ? detail || name : `${step}: ${detail}`
}

const names: ReadonlyMap<string, string> = new Map([
  ['fail-over', 'fail-over'],
  ['rotate-keys', 'keys'],
  ['sign-out', 'signed out'],
])

/** What the script has for others. */
function spared({ events }: SystemResult): Content {
  const steps = [...new Set(events.filter(({ applies }) => !applies).map(({ name }) => name))]
  if (steps.length === 0) return null
  return tag(
    'p',
    { class: 'soft' },
    `Not here, as there is nothing of the kind: ${steps.join(', ')}.`,
  )
}

function loadFigure(system: SystemResult): Markup {
  const { title, totals } = system
  const colour = isOurs(system) ? 'ours' : 'other'
  const keys = [
    { className: colour, label: 'actions' },
    { className: 'retried', label: 'made good by a retry' },
    { className: 'failed', label: 'failed' },
  ]
  const series: TimeSeries[] = [
    { name: 'actions', className: colour, shape: 'area', points: pointsOf(system, actions) },
    {
      name: 'retried',
      className: 'retried',
      shape: 'bars',
      points: pointsOf(system, firstFailures),
    },
    { name: 'failed', className: 'failed', shape: 'bars', points: pointsOf(system, failures) },
  ]
  return figure(
    'Actions a second, and those that failed',
    timeChart({
      ...commonOf(system),
      title: `${title}: load and failures`,
      description: `${whole(totals.actions)} actions, of which ${whole(totals.failures)} failed`,
      series,
      format: shortNumber,
    }),
    keys,
  )
}

const actions = (moment: { requests: number }) => moment.requests
const failures = (moment: { failures: number }) => moment.failures
const firstFailures = (moment: { firstFailures: number }) => moment.firstFailures

function latencyFigure(system: SystemResult): Markup {
  const [, p99 = '–'] = timesOf(peakOf(system))
  const keys: Key[] = [
    { className: 'middle', label: 'p50' },
    { className: 'high', label: 'p99' },
  ]
  return figure(
    'How long after they were due actions ended, retries included',
    timeChart({
      ...commonOf(system),
      title: `${system.title}: latency`,
      description: `At the peak, 99 of 100 within ${p99}`,
      series: [
        lineOf('p50', 'middle', system, ({ p50 }) => p50),
        lineOf('p99', 'high', system, ({ p99 }) => p99),
      ],
      isLogarithmic: true,
      format: duration,
    }),
    keys,
  )
}

function lineOf(
  name: string,
  className: string,
  system: SystemResult,
  read: Parameters<typeof pointsOf>[1],
): TimeSeries {
  return { name, className, shape: 'line', points: pointsOf(system, read) }
}

function commonOf(system: SystemResult) {
  const marks_s = system.events.filter(({ applies }) => applies).map(({ tMs }) => tMs / 1000)
  return { until_s: until_sOf(system), bands: bandsOf(system), marks_s }
}

function phaseTable({ phases }: SystemResult): Markup {
  return htmlTable({
    caption: 'By phase',
    head: ['phase', 'due a second', 'ended a second', 'failed', 'p50', 'p99', 'p99.9', 'longest'],
    rows: phases.map((phase) => [
      phase.name,
      ...[phase.rate, phase.ended_per_second].map(whole),
      coloured(phase.failures),
      ...timesOf(phase),
      duration(phase.max),
    ]),
  })
}

function kindTable(caption: string, kinds: Readonly<Record<string, number>>): Content {
  const rows = Object.entries(kinds)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
  if (rows.length === 0) return null
  return htmlTable({
    caption,
    head: ['kind', 'times'],
    rows: rows.map(([kind, count]) => [kind, whole(count)]),
  })
}

/** What the four counts rest on, and whether the load itself kept up. */
function remarks({ totals, client }: SystemResult): Markup {
  const bites = totals.signOutBites_ms.map((bite) => duration(bite)).join(', ')
  return tag('p', { class: 'soft' }, [
    `${whole(totals.cartsCompared)} carts were compared with what had been acknowledged: `,
    `${whole(totals.lostItems)} items lost, ${whole(totals.doubledItems)} in there once too often. `,
    totals.signOuts === 0
      ? 'Nobody can be signed out everywhere here. '
      : `${whole(totals.signOuts)} sign-outs everywhere were last let in after ${bites}. `,
    `The load's own timer was at most ${duration(client.lag_max_ms)} late `,
    `(p99 ${duration(client.lag_p99_ms)}), and it took ${client.busy.toFixed(2)} of a core.`,
  ])
}
