import { type Table, textTable } from '../harness/table.ts'
import { goals } from '../report/figures.ts'
import type { SurgeResult, SystemResult } from './result.ts'

/** The result for a terminal; bench/report shows the same with charts. */
export function surgeTable(result: SurgeResult): string {
  const systems = Object.values(result.systems)
  const { unit_per_second } = result.calibration
  const parts = systems.flatMap((system) => [
    `${system.name}: ${system.title}`,
    textTable(phaseTable(system)),
    ...notes(system),
  ])
  const title = `${result.options.users} users, 1× is ${Math.round(unit_per_second)} actions a second${
    result.options.fault === null ? '' : `; BROKEN ON PURPOSE: ${result.options.fault}`
  }`
  return [title, textTable(totalsTable(systems)), ...parts].join('\n\n')
}

function totalsTable(systems: readonly SystemResult[]): Table {
  return {
    head: ['system', 'actions', ...goals.map(({ short }) => short), 'p99 ms', 'most a second'],
    rows: systems.map((system) => [
      system.name,
      String(system.totals.actions),
      ...goals.map(({ read }) => String(read(system) ?? 'not possible')),
      system.totals.p99.toFixed(1),
      system.capacity_per_second.toFixed(0),
    ]),
  }
}

function phaseTable({ phases }: SystemResult): Table {
  return {
    head: ['load', 'due a second', 'ended a second', 'failures', 'p50 ms', 'p99 ms', 'p99.9 ms'],
    rows: phases.map((phase) => [
      phase.name,
      phase.rate.toFixed(0),
      phase.ended_per_second.toFixed(0),
      String(phase.failures),
      ...[phase.p50, phase.p99, phase.p999].map((ms) => ms.toFixed(1)),
    ]),
  }
}

function notes({ totals, client }: SystemResult): string[] {
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name}: ${count}`)
      .join(', ') || 'none'
  return [
    `failures: ${list(totals.failuresByKind)}`,
    `signed out: ${list(totals.signedOutByReason)}`,
    `first attempts that failed: ${list(totals.firstFailuresByKind)}; retries: ${totals.retries}`,
    `sign-outs were last accepted after (ms): ${totals.signOutBites_ms.join(', ') || '-'}`,
    `carts compared: ${totals.cartsCompared}; items lost: ${totals.lostItems}, doubled: ${totals.doubledItems}; refreshes: ${totals.refreshes}; logins: ${totals.logins}`,
    `the load: busy ${client.busy.toFixed(2)}, late by ${client.lag_p99_ms.toFixed(1)} ms (p99), ${client.lag_max_ms.toFixed(0)} ms at most`,
  ]
}
