import { formatNumber } from '../harness/metrics.ts'
import { commitText, type Table } from '../harness/report.ts'
import type { Phase } from './recorder.ts'
import type { SurgeResult, SystemResult } from './run.ts'

/** The counts that should be zero. */
export const goals = [
  { label: 'failed actions', short: 'failed', total: 'failures' },
  { label: 'users signed out', short: 'signed out', total: 'signedOut' },
  { label: 'carts that lost an item', short: 'carts lost', total: 'cartsWithLoss' },
  { label: 'sign-outs later than 1 s', short: 'late sign-outs', total: 'lateSignOuts' },
] as const

/** @returns a count of a system; null if the system cannot sign users out everywhere */
export function readGoal({ totals }: SystemResult, { total }: (typeof goals)[number]) {
  return total === 'lateSignOuts' && totals.signOuts === 0 ? null : totals[total]
}

export function surgeReport(result: SurgeResult, render: (table: Table) => string): string {
  return `${sentence(result)}\n\n${render(table(result))}`
}

const speeds = ['p50 at 10×', 'p99 at 10×', 'most a second, cold', 'warm']

function table({ systems }: SurgeResult): Table {
  return {
    head: ['system', 'actions', ...goals.map(({ label }) => label), ...speeds],
    rows: systems.map((system) => {
      const { p50, p99 } = peakOf(system)
      return [
        system.title,
        formatNumber(system.totals.actions),
        ...goals.map((goal) => count(readGoal(system, goal))),
        ...[p50, p99].map(duration),
        formatNumber(system.floods.cold.per_second),
        formatNumber(system.floods.warm.per_second),
      ]
    }),
  }
}

function sentence(result: SurgeResult): string {
  const { machine, gatepass, node, versions, options, calibration, date, systems } = result
  return [
    `${formatNumber(options.users)} users are signed in. The load rises from ${formatNumber(calibration.unit_per_second)} actions`,
    `a second to ten times as many, ${percent(calibration.share)} of the most that ${systems[0]?.title} takes, and falls again.`,
    `Access tokens live for ${options.accessTtl_s} s, and ${percent(options.lossShare)} of the answers to`,
    `refreshes are lost. Gatepass ${commitText(gatepass)}, Node ${node}, nginx ${versions.nginx},`,
    `Redis ${versions.redis}, ${machine.cpu} with ${machine.cores} cores, ${date.slice(0, 10)}`,
  ]
    .join(' ')
    .concat(options.isQuick ? '; a quick run, not to quote.' : '.')
}

/** Returns the latencies at the highest load. */
export function peakOf({ phases }: Pick<SystemResult, 'phases'>): Pick<Phase, 'p50' | 'p99'> {
  const none = { factor: 0, p50: 0, p99: 0 }
  return phases.reduce((most, one) => (one.factor > most.factor ? one : most), none)
}

export function count(value: number | null): string {
  return value === null ? '–' : formatNumber(value)
}

/** `0.5 ms`, `20 ms`, `3 s`. */
export function duration(value_ms: number): string {
  if (value_ms >= 1000) return `${Number((value_ms / 1000).toPrecision(2))} s`
  return `${Number(value_ms.toPrecision(2))} ms`
}

function percent(value: number): string {
  return `${Number((value * 100).toPrecision(3))} %`
}
