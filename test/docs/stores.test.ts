import t from 'tap'
import { settings } from '../../src/config/settings.ts'
import { parsePostgresUrl } from '../../src/stores/postgres/url.ts'
import { parseRedisUrl } from '../../src/stores/redis/url.ts'
import { readProjectFile } from '../support/project.ts'
import { codeBlocks, codeSpans, proseOf } from './documents.ts'

const document = readProjectFile('docs/stores.md')

t.test('docs/stores.md names the setting of every store', async (t) => {
  const named = codeSpans(proseOf(document))
  const ofStores = settings.filter(({ name }) => /^(accounts|sessions|keys)_url$/.test(name))
  t.equal(ofStores.length, 3)
  for (const { name } of ofStores) t.ok(named.includes(`GATEPASS_${name.toUpperCase()}`), name)
})

t.test('the addresses that it shows can be read', async (t) => {
  const postgres = codeBlocks(document).flatMap(
    ({ text }) => text.match(/^postgres:\/\/.+$/gm) ?? [],
  )
  const redis = codeSpans(document).filter((span) => /^redis.*:\/\/user/.test(span))
  t.equal(postgres.length, 1)
  t.equal(redis.length, 3)
  // The placeholders for numbers in the document.
  const filled = (url: string) => url.replaceAll(':port', ':6379').replace(/database\b/, '1')
  for (const url of postgres) t.doesNotThrow(() => parsePostgresUrl(filled(url)), url)
  for (const url of redis) t.doesNotThrow(() => parseRedisUrl(filled(url)), url)
})
