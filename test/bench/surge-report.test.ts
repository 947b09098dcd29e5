import t from 'tap'
import { markdownTable } from '../../bench/harness/report.ts'
import { surgePicture } from '../../bench/surge/picture.ts'
import type { Totals } from '../../bench/surge/recorder.ts'
import { surgeReport } from '../../bench/surge/report.ts'
import type { SurgeResult, SystemResult } from '../../bench/surge/run.ts'
import { createScript } from '../../bench/surge/script.ts'
import { readProjectFile } from '../support/project.ts'

const script = createScript(1_000)

const flood = { per_second: 2334.6, cost_us: { shop: 135.2, nginx: 30 } }

function systemResult(name: string, title: string, totals: Partial<Totals>): SystemResult {
  return {
    name,
    title,
    floods: { cold: flood, warm: { ...flood, per_second: 4_000 } },
    phases: script.levels.map((level) => {
      return {
        ...level,
        actions: 100,
        failures: 0,
        p50: level.factor,
        p99: 350 * level.factor,
      }
    }),
    series: [0, 1_000, 2_000].map((tMs, n) => ({
      tMs,
      actions: 70 + n,
      failures: n === 1 ? 3 : 0,
    })),
    totals: {
      failures: 0,
      signedOut: 0,
      cartsWithLoss: 0,
      lateSignOuts: 0,
      signOuts: 10,
      cartsCompared: 90,
      lostItems: 0,
      doubledItems: 0,
      actions: 32_279,
      logins: 0,
      refreshes: 0,
      failuresByKind: {},
      signedOutByReason: {},
      ...totals,
    },
  }
}

const result: SurgeResult = {
  date: '2026-11-27T13:16:59.271Z',
  gatepass: { commit: 'cada9f49ddf1c274', isModified: false },
  node: 'v24.21.0',
  machine: { cpu: 'AMD EPYC', cores: 2, cores_pinned: null, load_before: 1 },
  versions: { nginx: '1.26.3', redis: '8.0.2' },
  options: {
    isQuick: false,
    users: 4_000,
    replicas: { issuer: 2, verifier: 3, shop: 3 },
    accessTtl_s: 30,
    lossShare: 0.02,
  },
  script,
  calibration: { share: 0.3, unit_per_second: 70.04 },
  systems: [
    systemResult('gatepass', 'Gatepass', {}),
    systemResult('sticky', 'Sticky & <old>', { signedOut: 1_317, cartsWithLoss: 275, signOuts: 0 }),
  ],
}

t.test('the table has the goals and the latencies of each system', async (t) => {
  const lines = surgeReport(result, markdownTable).split('\n')
  t.match(
    lines[0],
    /^4,000 users are signed in. The load rises from 70 actions a second to ten times as many, 30 %/,
  )
  t.match(lines[0], /Gatepass cada9f49, Node v24.21.0, nginx 1.26.3, Redis 8.0.2, AMD EPYC/)
  t.equal(lines[4], '| Gatepass | 32,279 | 0 | 0 | 0 | 0 | 10 ms | 3.5 s | 2,335 | 4,000 |')
  t.match(lines[5], '| 0 | 1,317 | 275 | – |')
  const others = { ...result, systems: result.systems.slice(1) }
  t.match(surgeReport(others, markdownTable), '30 % of the most that Sticky & <old> takes')
})

t.test(
  'the picture shows each system, its failures and its counts, and escapes texts',
  async (t) => {
    const picture = surgePicture(result)
    t.match(picture, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
    t.match(picture, 'Sticky &amp; &lt;old>')
    t.match(
      picture,
      '0 failed actions, 1317 users signed out, 275 carts that lost an item, no figure',
    )
    t.equal(picture.match(/class="bar failed"/g)?.length, 2, 'one second with failures in each')
    t.equal(picture.match(/class="mark"/g)?.length, script.steps.length)
    t.notMatch(picture, /NaN|undefined|Infinity/)
    const open = picture.match(/<(svg|title|desc|style|text)\b/g)?.length
    t.equal(
      picture.match(/<\/(svg|title|desc|style|text)>/g)?.length,
      open,
      'every element is closed',
    )
  },
)

const blockOf = (path: string) =>
  /<!-- bench:surge -->\n(.*?)<!-- \/bench:surge -->/s.exec(readProjectFile(path))?.[1] ?? ''

t.test('README, benchmarks and picture show the same surge', async (t) => {
  const block = blockOf('README.md')
  t.equal(block, blockOf('docs/benchmarks.md'))
  const picture = readProjectFile('docs/images/surge.svg')
  const rows = block.split('\n').filter((line) => /^\| [^s-]/.test(line))
  t.equal(rows.length, 7)
  for (const row of rows) {
    const [, title = '', , failed = '', signedOut = '', carts = ''] = row
      .split('|')
      .map((cell) => cell.trim())
    const said = [failed, signedOut, carts].map((cell) => cell.replace(',', ''))
    t.match(
      picture,
      `${title}: ${said[0]} failed actions, ${said[1]} users signed out, ${said[2]} carts`,
    )
  }
})
