import { formatNumber } from '../harness/metrics.ts'
import type { Table } from '../harness/report.ts'
import type { Crowd } from './crowd.ts'
import type { Fleet } from './fleet.ts'

/** The capacity of a system, measured with users who act without pauses. */
export type Floods = Awaited<ReturnType<typeof measureFloods>>

export interface FloodSize {
  readonly floodMs: number
  /** How long the flood lasts before the warm measurement. */
  readonly warmUpMs: number
}

/** Measures the system cold, when it has served only sign-ins, and then warm. */
export async function measureFloods(fleet: Fleet, crowd: Crowd, { floodMs, warmUpMs }: FloodSize) {
  const cold = await measureFlood(fleet, crowd, floodMs)
  await crowd.flood(warmUpMs - floodMs)
  return { cold, warm: await measureFlood(fleet, crowd, floodMs) }
}

/** @returns the actions per second, and the processor time of an action by group of processes */
async function measureFlood(fleet: Fleet, crowd: Crowd, floodMs: number) {
  const [startMs, before] = [performance.now(), fleet.processorTime_s()]
  const count = await crowd.flood(floodMs)
  const [endMs, after] = [performance.now(), fleet.processorTime_s()]
  const costs = Object.entries(after).map(([group, s]) => {
    return [group, ((s - (before[group] ?? 0)) * 1e6) / count] as const
  })
  return { per_second: (count * 1000) / (endMs - startMs), cost_us: Object.fromEntries(costs) }
}

const groups = ['shop', 'issuer', 'verifier', 'nginx', 'redis']

/** @returns a table with two rows for each system */
export function floodTable(systems: readonly { title: string; floods: Floods }[]): Table {
  return {
    head: ['system', '', 'actions a second', ...groups.map((group) => `µs in ${group}`), 'sum'],
    rows: systems.flatMap(({ title, floods }) =>
      (['cold', 'warm'] as const).map((state) => {
        const { per_second, cost_us } = floods[state]
        const sum = Object.values(cost_us).reduce((all, one) => all + one, 0)
        const costs = [...groups.map((group) => cost_us[group]), sum]
        return [
          title,
          state,
          formatNumber(per_second),
          ...costs.map((one) => one?.toFixed(0) ?? '–'),
        ]
      }),
    ),
  }
}
