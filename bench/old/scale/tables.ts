import { formatNumber } from '../harness/metrics.ts'
import type { Table } from '../harness/table.ts'
import type { Column, ColumnGrowth, Point, ScaleResult, SweepResult } from './result.ts'
import type { StoreCosts } from './simulation/costs.ts'
import type { Needs, Simulation } from './simulation/simulate.ts'
import { formatSize, medianOf } from './sweep.ts'

/** A sweep: what it was, its figures, and how they grow. */
export function sweepReport(
  sweep: SweepResult,
  { machine, node }: ScaleResult,
  render: (table: Table) => string,
): string[] {
  const { name, title, date, gatepass, options, load_before, leftOut } = sweep
  const version = gatepass.commit?.slice(0, 8) ?? gatepass.version
  const heading = [
    `scale ${name}: ${title}. ${options.rounds} rounds of ${options.duration_s} s, medians.`,
    `Gatepass ${version}${gatepass.isModified ? ' with changes' : ''}, Node ${node},`,
    `${machine.cpu} with ${machine.cores} cores, load average ${load_before.toFixed(1)} before,`,
    `${date.slice(0, 10)}.`,
  ].join(' ')
  return [
    heading,
    render(figuresTable(sweep)),
    ...(sweep.growth.length > 0 ? [growthLines(sweep)] : []),
    ...(leftOut.length > 0 ? [`Left out: ${leftOut.join('; ')}.`] : []),
  ]
}

export function figuresTable({ of, columns, points }: SweepResult): Table {
  return {
    head: [of, ...columns.map(({ label }) => label)],
    rows: points.map((point) => [
      formatSize(point.size),
      ...columns.map((column) => cellOf(point, column)),
    ]),
  }
}

function cellOf(point: Point, { key, digits }: Column): string {
  const value = medianOf(point, key)
  return value === null ? '-' : formatNumber(value, digits)
}

/** What ten times as many do to each cost, in words, one a line. */
function growthLines({ of, columns, points, growth }: SweepResult): string {
  const [first, last] = [points[0]?.size ?? 0, points.at(-1)?.size ?? 0]
  const lines = growth.map(({ key, exponent, tenfold, ends }: ColumnGrowth) => {
    const { label, tenfoldUnder = 0 } = columns.find((column) => column.key === key) as Column
    const verdict = tenfold < tenfoldUnder ? 'met' : 'missed'
    return [
      `- ${label}: 10 times the ${of}, ${formatNumber(tenfold, 2)} times the cost`,
      `(slope ${formatNumber(exponent, 3)}; ${formatNumber(ends, 2)} times from`,
      `${formatSize(first)} to ${formatSize(last)}); under ${tenfoldUnder}: ${verdict}.`,
    ].join(' ')
  })
  return lines.join('\n')
}

/** What was measured of all that the simulation stands on, and of the other stores. */
export function costsTable({ costs }: Simulation): Table {
  const { signIn_us, feedEntry } = costs
  const signIn = `${formatNumber(signIn_us / 1000, 1)} ms of a core`
  const entry =
    feedEntry &&
    `${formatNumber(feedEntry.bytes, 0)} bytes, ${formatNumber(feedEntry.us, 1)} µs to load`
  return {
    head: ['work', 'takes'],
    rows: [
      ...costs.stores.map(storeRow),
      ['a sign-in', signIn],
      ...(entry === null ? [] : [['a revocation in the feed, for each verifier', entry]]),
    ],
  }
}

function storeRow({ title, sessions, ...costs }: StoreCosts): string[] {
  const whole = (value: number) => formatNumber(value, 0)
  const { refresh_us, store_us, session_bytes, tenfold } = costs
  const ofStore = whole(store_us) === '0' ? '' : ` and ${whole(store_us)} µs of the store`
  return [
    `${title}, with ${formatSize(sessions)} sessions`,
    [
      `${whole(refresh_us)} µs of a core of the issuer${ofStore}; ${whole(session_bytes)} bytes;`,
      `with 10 times the sessions ${formatNumber(tenfold, 2)} times the work`,
    ].join(' '),
  ]
}

interface Row {
  readonly label: string
  /** Null where it was not measured. */
  read(needs: Needs): string | null
}

const rows: readonly Row[] = [
  { label: 'refreshes a second', read: (one) => rounded(one.refreshes_per_second) },
  { label: 'sign-ins a second', read: (one) => rounded(one.signIns_per_second) },
  { label: 'busy cores that refresh', read: (one) => rounded(one.refreshLoad) },
  { label: 'busy cores that hash', read: (one) => rounded(one.hashLoad) },
  {
    label: 'cores of issuers',
    read: (one) => formatSize(Math.max(2, one.refreshCores + one.hashCores)),
  },
  { label: 'busy cores of Redis', read: (one) => rounded(one.storeLoad) },
  { label: 'Redis primaries', read: (one) => formatSize(one.shards) },
  { label: 'sessions', read: (one) => gigabytes(one.sessions_bytes) },
  { label: 'memory of the primaries', read: (one) => gigabytes(one.memory_bytes) },
  { label: 'with a replica each', read: (one) => gigabytes(2 * one.memory_bytes) },
  { label: 'entries of the feed', read: (one) => formatSize(one.feedEntries) },
  {
    label: 'its snapshot',
    read: ({ feed }) => feed && `${rounded(feed.bytes / 1e6)} MB`,
  },
  { label: 'a verifier loads it in', read: ({ feed }) => feed && `${rounded(feed.load_ms)} ms` },
  { label: 'refresh, p50', read: (one) => `${rounded(one.refreshP50_ms)} ms` },
  { label: 'refresh, p99', read: (one) => `${rounded(one.refreshP99_ms)} ms` },
  { label: 'sign-in, p99', read: (one) => `${rounded(one.signInP99_ms)} ms` },
  {
    label: 'after an outage, all within 1 s again',
    read: (one) => `${rounded(one.recovery_s)} s`,
  },
]

export function needsTable({ needs }: Simulation): Table {
  return {
    head: ['devices', ...needs.map(({ devices }) => formatSize(devices))],
    rows: rows.flatMap(({ label, read }) => {
      const cells = needs.map(read).filter((cell) => cell !== null)
      return cells.length === 0 ? [] : [[label, ...cells]]
    }),
  }
}

/** Two digits that count. */
function rounded(value: number): string {
  return value === 0
    ? '0'
    : Number(value.toPrecision(2)).toLocaleString('en-US', { maximumFractionDigits: 6 })
}

function gigabytes(bytes: number): string {
  return `${rounded(bytes / 1e9)} GB`
}
