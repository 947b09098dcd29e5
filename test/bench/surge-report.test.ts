import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { compactJson } from '../../bench/old/report/compact-json.ts'
import { surgeImage } from '../../bench/old/report/image.ts'
import { surgeMarkdown } from '../../bench/old/report/markdown.ts'
import { jsonForScript, tag } from '../../bench/old/report/markup.ts'
import { parseSurge, readSurge } from '../../bench/old/report/read.ts'
import {
  documents,
  imagePath,
  publishedJson,
  publishedPath,
  writePage,
} from '../../bench/old/report/write.ts'
import fc from '../support/properties.ts'
import { madeUpScale, madeUpSurge, madeUpSystem } from './surge-results.ts'

const surge = madeUpSurge()

t.test('no text becomes an element, an attribute, or the end of a script', async (t) => {
  t.equal(
    tag('p', { title: '"><b>' }, '<script>', 1, null, [tag('br', {}), '&']).text,
    '<p title="&quot;&gt;&lt;b&gt;">&lt;script&gt;1<br>&amp;</p>',
  )
  fc.assert(
    fc.property(fc.json(), fc.string(), (json, text) => {
      const value = { json: JSON.parse(json), text: `${text}</script><!--` }
      const inScript = jsonForScript(value).text
      t.notMatch(inScript, '<')
      t.same(JSON.parse(inScript), JSON.parse(JSON.stringify(value)))
    }),
  )
})

t.test('the table has every system, and what should be zero', async (t) => {
  const lines = surgeMarkdown(surge).split('\n')
  t.match(
    lines[0],
    /^2,000 signed-in users, from 40 actions a second to ten times as many, 50 % of the most that/,
  )
  t.match(lines[0], 'access tokens of 30 s, and 2 % of the answers to refreshes lost on the way.')
  t.match(lines[0], 'Gatepass 01234567, Node v24.0.0, nginx 1.26.3, Redis 8.0.2, Some CPU')
  t.match(lines[2], '| system | actions | failed actions | users signed out |')
  t.match(lines[4], '| Gatepass | 40,000 | 0 | 0 | 0 | 0 | 4.2 ms | 18 ms | 800 |')
  t.match(lines[5], '| Sessions in memory, sticky | 40,000 | 1,920 | 214 | 61 | – |')
  t.equal(lines.length, 4 + 5)
  const barred = { ...surge, systems: { x: madeUpSystem('x', 'a | b', 0) } }
  t.match(surgeMarkdown(barred), '| a \\| b |')
})

t.test('a page needs nothing but itself, and holds what was recorded', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gatepass-report-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const name = 'surge-2026-11-24T12-00-00-000Z.json'
  const titled = { ...surge, systems: { ...surge.systems, x: madeUpSystem('x', '<b>x</b>', 0.1) } }
  writeFileSync(join(folder, name), JSON.stringify(titled))
  writeFileSync(join(folder, 'login-2026-11-24T11-00-00-000Z.json'), '{"scenario": 1}')
  writeFileSync(join(folder, 'scale-2026-11-24T10-00-00-000Z.json'), JSON.stringify(madeUpScale))
  const told: string[] = []
  const page = writePage(join(folder, name), (line) => told.push(line))
  t.same(
    readdirSync(folder).filter((one) => one.endsWith('.html')),
    [name.replace('.json', '.html')],
  )
  const html = readFileSync(page, 'utf8')
  t.notMatch(html, /(src|href)="(https?:|\/\/)|url\(|@import/)
  t.notMatch(html, '<b>x')
  t.match(html, '&lt;b&gt;x&lt;/b&gt;')
  t.match(html, /<th scope="row">10,000<\/th><td>42\.0<\/td>/)
  t.notMatch(html, /NaN|undefined/)
  const [, json = ''] = /<script type="application\/json"[^>]*>(.*?)<\/script>/s.exec(html) ?? []
  t.same(JSON.parse(json), titled)
  t.match(told.join(), /login-.*is not the result of a scenario in the form of this version/)
})

t.test('the picture stands alone', async (t) => {
  const svg = surgeImage(surge)
  t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  t.match(svg, 'prefers-color-scheme: dark')
  t.notMatch(svg, /NaN|undefined|href|url\(/)
  for (const { title } of Object.values(surge.systems)) t.match(svg, title)
})

t.test('a file of another form is refused, and said why', async (t) => {
  const { signedOut: _, ...totals } = madeUpSystem('gatepass', 'Gatepass', 0).totals
  const older = { ...surge, systems: { gatepass: { ...surge.systems.gatepass, totals } } }
  t.throws(() => parseSurge(JSON.stringify(older), 'old.json'), {
    message:
      /^old\.json is not the result of a surge in the form of this version \(systems\.gatepass\.totals\.signedOut: .*\)\. Gatepass 01234567 made it: check that out/,
  })
  t.throws(() => parseSurge('{}', 'other.json'), { message: /kind: .* …\)\.$/ })
  t.throws(() => parseSurge('<html>', 'page.html'), { message: 'page.html is not JSON.' })
  t.same(parseSurge(JSON.stringify(surge), 'good.json'), surge)
})

t.test('what is published yields the same table and the same picture', async (t) => {
  const read = parseSurge(publishedJson(surge), 'surge.json')
  t.equal(surgeMarkdown(read), surgeMarkdown(surge))
  t.equal(surgeImage(read), surgeImage(surge))
  t.equal(
    compactJson({
      list: [
        { a: 1, b: null },
        { a: 'x', b: [] },
      ],
      c: 0.5,
      d: undefined,
    }),
    '{\n "list": [\n  {"a": 1, "b": null},\n  {"a": "x", "b": []}\n ],\n "c": 0.5\n}',
  )
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      t.same(JSON.parse(compactJson(value)), JSON.parse(JSON.stringify(value)))
    }),
  )
})

t.test('README, docs and picture show the run that is kept beside the report', async (t) => {
  const kept = readSurge(publishedPath)
  const lines = surgeMarkdown(kept)
  for (const document of documents) {
    t.match(readFileSync(document, 'utf8'), `<!-- bench:surge -->\n${lines}\n<!-- /bench:surge -->`)
  }
  t.equal(readFileSync(imagePath, 'utf8'), surgeImage(kept))
})
