import { formatNumber } from '../harness/metrics.ts'
import { markdownTable, type Table, textTable, writeInto } from '../harness/report.ts'
import { type Costs, readCosts } from './costs.ts'
import { deviceCounts, latenciesOf, planFor } from './simulate.ts'

const document = new URL('../../docs/scaling.md', import.meta.url)

type Needs = ReturnType<typeof needsOf>

/** Computes the needs of numbers of devices from the newest results. */
export function simulate({ intoDocument }: { readonly intoDocument: boolean }): void {
  const costs = readCosts()
  const needs = deviceCounts.map((devices) => needsOf(devices, costs))
  const tables = { 'scale-costs': costsTable(costs), 'scale-needs': needsTable(needs) }
  process.stdout.write(`\n${Object.values(tables).map(textTable).join('\n\n')}\n`)
  if (!intoDocument) return
  for (const [name, table] of Object.entries(tables)) {
    writeInto(document, name, markdownTable(table))
  }
}

export function needsOf(devices: number, costs: Costs) {
  const plan = planFor(devices, costs)
  return { ...plan, ...latenciesOf(plan, costs) }
}

export function costsTable({ stores, signIn_us, feedEntry }: Costs): Table {
  const ofStores = stores.map(
    ({ store, sessions, refresh_us, store_us, session_bytes, tenfold }) => {
      const ofStore = store_us < 0.5 ? '' : ` and ${formatNumber(store_us)} µs of the store`
      return [
        `a refresh, and the size of a session, on ${store}, with ${formatNumber(sessions)} sessions`,
        `${formatNumber(refresh_us)} µs of a core of the issuer${ofStore}; ${formatNumber(session_bytes)} bytes; with 10 times the sessions ${formatNumber(tenfold, 2)} times the work`,
      ]
    },
  )
  const entry = `${formatNumber(feedEntry.bytes)} bytes, ${formatNumber(feedEntry.us, 1)} µs to load`
  return {
    head: ['work', 'takes'],
    rows: [
      ...ofStores,
      ['a sign-in', `${formatNumber(signIn_us / 1000, 1)} ms of a core`],
      ['a revocation in the feed, for each verifier', entry],
    ],
  }
}

const rows: readonly (readonly [label: string, read: (needs: Needs) => string])[] = [
  ['refreshes a second', (one) => rounded(one.refreshes_per_second)],
  ['sign-ins a second', (one) => rounded(one.signIns_per_second)],
  ['busy cores that refresh', (one) => rounded(one.refreshLoad)],
  ['busy cores that hash', (one) => rounded(one.hashLoad)],
  ['cores of issuers', (one) => formatNumber(Math.max(2, one.refreshCores + one.hashCores))],
  ['busy cores of Redis', (one) => rounded(one.storeLoad)],
  ['Redis primaries', (one) => formatNumber(one.primaries)],
  ['sessions', (one) => `${rounded(one.sessions_bytes / 1e9)} GB`],
  ['memory of the primaries', (one) => `${rounded(one.memory_bytes / 1e9)} GB`],
  ['with a replica each', (one) => `${rounded((2 * one.memory_bytes) / 1e9)} GB`],
  ['entries of the feed', (one) => formatNumber(one.feedEntries)],
  ['its snapshot', (one) => `${rounded(one.feed_bytes / 1e6)} MB`],
  ['a verifier loads it in', (one) => `${rounded(one.feedLoad_ms)} ms`],
  ['refresh, p50', (one) => `${rounded(one.refreshP50_ms)} ms`],
  ['refresh, p99', (one) => `${rounded(one.refreshP99_ms)} ms`],
  ['sign-in, p99', (one) => `${rounded(one.signInP99_ms)} ms`],
  ['after an outage, all within 1 s again', (one) => `${rounded(one.recovery_s)} s`],
]

export function needsTable(needs: readonly Needs[]): Table {
  return {
    head: ['devices', ...needs.map(({ devices }) => formatNumber(devices))],
    rows: rows.map(([label, read]) => [label, ...needs.map(read)]),
  }
}

/** Rounds to two significant digits. */
function rounded(value: number): string {
  const digits = { maximumFractionDigits: 6 }
  return Number(value.toPrecision(2)).toLocaleString('en-US', digits)
}
