import t from 'tap'
import { compare } from '../../bench/old/harness/compare.ts'
import { insertReport } from '../../bench/old/harness/document.ts'
import { markdownReport, readingsLine, textReport } from '../../bench/old/harness/report.ts'
import type { Result } from '../../bench/old/harness/result.ts'
import { markdownTable, textTable } from '../../bench/old/harness/table.ts'

const subjects = [
  { subject: 'issuer', readings: [{ per_second: 9000, p99_ms: 12.345 }, { per_second: 11_000 }] },
  { subject: 'raw signing', readings: [{ per_second: 30_000 }, { per_second: 44_000 }] },
]

const result: Result = {
  scenario: 'refresh',
  title: 'the issuer rotating sessions',
  date: '2026-11-24T12:00:00.000Z',
  gatepass: { version: '0.1.0', commit: '0123456789abcdef', isModified: true },
  node: 'v24.0.0',
  machine: {
    cpu: 'Some CPU',
    cores: 2,
    cores_pinned: { server: 0, load: 1 },
    memory_mib: 1024,
    kernel: 'Linux 6.0',
    data_in_memory: false,
    load_before: 0.1,
  },
  options: { rounds: 2, duration_s: 8, warmup_s: 3, connections: 64 },
  subjects,
  comparisons: [
    compare({ subject: 'issuer', metric: 'per_second', target: { atLeast: 10_000 } }, subjects),
    compare({ subject: 'issuer', metric: 'per_second', limit: 'raw signing' }, subjects),
  ],
}

t.test('a report shows every subject, and each figure beside its limit', async (t) => {
  const lines = textReport(result).split('\n')
  t.match(lines[0], /refresh: the issuer rotating sessions\. 2 rounds of 8 s, 64 connections/)
  t.match(lines[0], /pinned to one core each\. Gatepass 01234567 with changes, Node v24\.0\.0/)
  t.same(lines.slice(2, 5), [
    'SUBJECT      PER SECOND        MIN – MAX  P99 MS',
    'issuer           10,000   9,000 – 11,000   12.35',
    'raw signing      37,000  30,000 – 44,000       -',
  ])
  t.same(lines.slice(6, 9), [
    'COMPARED     MEASURE       BESIDE   VALUE       MIN – MAX           TARGET  VERDICT',
    'issuer    per second            -  10,000  9,000 – 11,000  at least 10,000      met',
    'issuer    per second  raw signing    0.28     0.25 – 0.30                -        -',
  ])
})

t.test('what it was measured beside is named with its version', async (t) => {
  const packages = { 'fast-jwt': '6.3.6', jose: '6.2.18' }
  t.match(
    textReport({ ...result, packages }),
    /2026-11-24\. With fast-jwt 6\.3\.6, jose 6\.2\.18\.\n/,
  )
})

t.test('the same goes into a document, in the place that is marked for it', async (t) => {
  const before = 'Figures.\n\n<!-- bench:refresh -->\nold\n<!-- /bench:refresh -->\n\nMore.\n'
  const after = insertReport(before, 'refresh', markdownReport(result))
  t.match(after, /^Figures\.\n\n<!-- bench:refresh -->\nrefresh: the issuer/)
  t.match(after, '| issuer | 10,000 | 9,000 – 11,000 | 12.35 |')
  t.match(after, /\n<!-- \/bench:refresh -->\n\nMore\.\n$/)
  t.notMatch(after, 'old')
  t.equal(insertReport(after, 'refresh', markdownReport(result)), after)
  t.throws(() => insertReport(before, 'login', ''), /no place for bench:login/)
})

t.test('one measurement is one line', async (t) => {
  t.equal(readingsLine({ p99_ms: 1.5, per_second: 1234 }), 'per second 1,234, p99 ms 1.50')
})

t.test('a table has a form for terminals and one for documents', async (t) => {
  const table = {
    head: ['name', 'figure'],
    rows: [
      ['a', '1'],
      ['longer', '1,000'],
    ],
  }
  t.equal(textTable(table), 'NAME    FIGURE\na            1\nlonger   1,000')
  t.equal(markdownTable(table), '| name | figure |\n| --- | --: |\n| a | 1 |\n| longer | 1,000 |')
})

t.test('a report names those that were kept waiting', async (t) => {
  const busy = (subject: string, shares: readonly number[]) => ({
    subject,
    readings: shares.map((server_busy) => ({ per_second: 1, server_busy })),
  })
  const text = textReport({
    ...result,
    subjects: [busy('kept busy', [0.99, 1]), busy('kept waiting', [0.5, 0.7])],
    comparisons: [],
  })
  t.match(text, 'Not busy all the time, so compare by the core-second: kept waiting.\n')
  t.notMatch(textReport(result), 'Not busy')
})
