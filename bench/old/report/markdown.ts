import { markdownTable } from '../harness/table.ts'
import type { SurgeResult } from '../surge/result.ts'
import { duration } from './charts/scale.ts'
import { goals, peakOf, whole } from './figures.ts'

/** The table of a surge for a document: the README's is this one, and a test holds that. */
export function surgeMarkdown(result: SurgeResult): string {
  return [sentence(result), table(result)].join('\n\n')
}

function table({ systems }: SurgeResult): string {
  return markdownTable({
    head: [
      ...['system', 'actions', ...goals.map(({ label }) => label)],
      ...['p50 at 10×', 'p99 at 10×', 'most a second'],
    ],
    rows: Object.values(systems).map((system) => {
      const peak = peakOf(system)
      return [
        escapeCell(system.title),
        whole(system.totals.actions),
        ...goals.map(({ read }) => countText(read(system))),
        ...[peak?.p50, peak?.p99].map((value) => (value === undefined ? '–' : duration(value))),
        whole(system.capacity_per_second),
      ]
    }),
  })
}

function countText(value: number | null): string {
  return value === null ? '–' : whole(value)
}

/** What the figures depend on. */
function sentence({ machine, versions, options, calibration, date }: SurgeResult): string {
  const { gatepass, node, nginx, redis } = versions
  const commit = gatepass.commit?.slice(0, 8) ?? gatepass.version
  return [
    `${whole(options.users)} signed-in users, from ${whole(calibration.unit_per_second)} actions a second`,
    `to ten times as many, ${percent(calibration.share)} of the most that Gatepass takes, and back;`,
    `access tokens of ${options.accessTtl_s} s, and ${percent(options.lostRefreshes)} of the answers to`,
    `refreshes lost on the way. Gatepass ${commit}${gatepass.isModified ? ' with changes' : ''},`,
    `Node ${node}, nginx ${nginx}, Redis ${redis}, ${machine.cpu} with ${machine.cores} cores,`,
    `${date.slice(0, 10)}${options.isQuick ? '; a quick run, not to quote' : ''}.`,
  ].join(' ')
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`
}

/** A cell ends at a bar. */
export function escapeCell(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll('\n', ' ')
}
