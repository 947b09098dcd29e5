import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { withTables } from '../../scripts/config-document.ts'
import { clientSchema, clientsSchema } from '../../src/config/clients.ts'
import { loadConfig } from '../../src/config/load.ts'
import { environmentName, settings } from '../../src/config/settings.ts'
import { readProjectFile } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'

const written = readProjectFile('docs/config.md')
const env = { GATEPASS_SECRET: 'x'.repeat(32) }

const [exampleFile = '', defaultClients = ''] = [...written.matchAll(/```json\n(.*?)```/gs)].map(
  ([, text = '']) => text,
)

/** The cells of the row that describes a setting. */
function rowOf(name: string): string[] {
  const start = `| \`${environmentName(name)}\` `
  const line = written.split('\n').find((one) => one.startsWith(start)) ?? ''
  const cells = line.split(/(?<!\\)\|/).slice(1, -1)
  return cells.map((cell) => cell.trim())
}

t.test('docs/config.md has the tables that "npm run docs" generates', async (t) => {
  t.equal(written, withTables(written))
})

t.test('the page has a full row for each setting', async (t) => {
  for (const { name } of settings) {
    const cells = rowOf(name)
    t.equal(cells.length, 5, name)
    t.notOk(cells.includes(''), name)
  }
})

t.test('a row says what the schema says', async (t) => {
  t.match(rowOf('port'), { 1: '`4000` (issuer), `4100` (verifier)', 2: '0 to 65535', 3: 'all' })
  t.match(rowOf('session_idle_s'), { 1: '`1209600` (14 days)', 2: '1 to 34560000 seconds' })
  t.match(rowOf('secret'), { 1: '**required**', 2: 'a list of 1 to 8; each 32 to 1024 characters' })
  t.match(rowOf('keys_url'), { 2: 'must start with file:', 3: 'issuer' })
  t.match(rowOf('allowed_origins'), {
    1: 'none',
    2: /^a list of up to 100; each must be an origin/,
  })
  t.match(rowOf('log_level'), { 2: /`fatal`, .*`silent`/ })
  t.match(rowOf('playground'), { 1: '`false`', 2: '`true`, `false`' })
  t.match(rowOf('jwks_url'), { 1: 'none', 3: 'verifier' })
})

t.test('the documented settings file is accepted', async (t) => {
  const file = join(createTestFolder(t), 'gatepass.json')
  writeFileSync(file, exampleFile)
  const { settings } = loadConfig({ role: 'issuer', env, cwd: '/', file })
  t.match(settings, { access_ttl_s: 120, clients: [{ client_id: 'web' }, {}] })
})

t.test('the documented default clients are the default', async (t) => {
  const { settings } = loadConfig({ role: 'issuer', env, cwd: createTestFolder(t) })
  t.same(JSON.parse(defaultClients), settings.clients)
})

t.test('the page names each field of a client', async (t) => {
  for (const name of Object.keys(clientSchema.shape))
    t.ok(written.includes(`\n| \`${name}\` `), name)
})

t.test('each documented claim of Gatepass is refused as an attribute', async (t) => {
  const [, list = ''] = /claim that Gatepass makes itself: ([^.]*)\./.exec(written) ?? []
  const names = [...list.matchAll(/`(\w+)`/g)].map(([, name = '']) => name)
  t.equal(names.length, 15)
  for (const name of names) {
    const client = { client_id: 'web', scopes: { profile: [name] } }
    t.notOk(clientsSchema.safeParse([client]).success, name)
  }
})
