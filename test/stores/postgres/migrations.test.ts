import pg from 'pg'
import t from 'tap'
import { PostgresKeyStore } from '../../../src/keys/postgres-key-store.ts'
import type { Migration } from '../../../src/stores/migrations.ts'
import { PostgresAccountStore } from '../../../src/stores/postgres/account-store.ts'
import { migrate } from '../../../src/stores/postgres/database.ts'
import { PostgresSessionStore } from '../../../src/stores/postgres/session-store.ts'
import { parsePostgresUrl } from '../../../src/stores/postgres/url.ts'
import { account } from '../../support/accounts.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { readProjectFile } from '../../support/project.ts'

const server = await PostgresServer.start(t)
await server.query(`CREATE ROLE service LOGIN PASSWORD 'other'`)

const first = { name: 'first', sql: 'CREATE TABLE gatepass.things (n INTEGER)' }
const second = {
  name: 'second',
  sql: 'INSERT INTO gatepass.things VALUES (1); INSERT INTO gatepass.things VALUES (2)',
}
const third = { name: 'third', sql: 'ALTER TABLE gatepass.things ADD COLUMN label TEXT' }

function apply(url: string, migrations: readonly Migration[], name = 'things'): Promise<void> {
  return migrate(parsePostgresUrl(url), { name, migrations }, patient.timeoutMs)
}

function asService(url: string): string {
  return Object.assign(new URL(url), { username: 'service', password: 'other' }).href
}

async function run(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql).finally(() => client.end())
}

const things = (url: string) => server.query('SELECT * FROM gatepass.things ORDER BY n', url)

t.test('each step is applied once, in order', async (t) => {
  const url = await server.createDatabase()
  await apply(url, [first, second])
  await apply(url, [first, second])
  t.same(await things(url), [{ n: 1 }, { n: 2 }])
  await apply(url, [first, second, third])
  t.same(await things(url), [
    { n: 1, label: null },
    { n: 2, label: null },
  ])
})

const refused: Record<string, Migration[]> = {
  'a step that was changed': [first, { ...second, sql: 'SELECT 1' }],
  'a step of another name': [first, { ...second, name: 'other' }],
  'another order': [second, first],
  'a schema newer than the program': [first],
  'a changed step with a new one behind': [{ ...first, sql: 'SELECT 1' }, second, third],
}

for (const [what, steps] of Object.entries(refused)) {
  t.test(`refused without a change: ${what}`, async (t) => {
    const url = await server.createDatabase()
    await apply(url, [first, second])
    await t.rejects(apply(url, steps), { code: 'migration_failed' })
    t.same(await things(url), [{ n: 1 }, { n: 2 }])
  })
}

t.test('a database whose encoding lacks characters is refused', async (t) => {
  const create = (name: string, encoding: string) =>
    server.query(`CREATE DATABASE ${name} OWNER gatepass ENCODING '${encoding}' TEMPLATE template0`)
  const at = async (name: string) =>
    Object.assign(new URL(await server.createDatabase()), { pathname: `/${name}` }).href
  await create('latin', 'LATIN1')
  await t.rejects(PostgresAccountStore.open(await at('latin'), patient), {
    code: 'config_invalid',
    detail: 'The Postgres database latin has the encoding LATIN1; create it with UTF8.',
  })
  await create('bytes', 'SQL_ASCII')
  const store = await PostgresAccountStore.open(await at('bytes'), patient)
  t.teardown(() => store.close())
  const one = account({ loginName: 'łukasz' })
  await store.create([one])
  t.same(await store.findByLoginName('łukasz'), one)
})

t.test('a failed step rolls back the steps before it', async (t) => {
  const url = await server.createDatabase()
  const failing = { name: 'failing', sql: 'INSERT INTO gatepass.no_such VALUES (1)' }
  await t.rejects(apply(url, [first, failing]), {
    code: 'migration_failed',
    detail: /relation "gatepass.no_such" does not exist/,
  })
  const schemas = await server.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'gatepass'`, url)
  t.same(schemas, [])
})

t.test('replicas that start at the same time apply each step once', async (t) => {
  const url = await server.createDatabase()
  const slow = { name: 'slow', sql: 'SELECT pg_sleep(0.2)' }
  await Promise.all(Array.from({ length: 8 }, () => apply(url, [first, slow, second])))
  t.same(await things(url), [{ n: 1 }, { n: 2 }])
})

t.test('statements go on while a migration waits for a backup', async (t) => {
  const url = await server.createDatabase()
  await apply(url, [first, second])
  const backup = await server.connect(url)
  t.teardown(() => backup.end())
  await backup.query('BEGIN; LOCK TABLE gatepass.things IN ACCESS SHARE MODE')
  const limit = `UPDATE gatepass.things
    SET label = current_setting('idle_in_transaction_session_timeout')`
  const applied = apply(url, [first, second, third, { name: 'limit', sql: limit }])
  await server.untilBlocked(1, url)
  t.same(await things(url), [{ n: 1 }, { n: 2 }])
  await backup.query('COMMIT')
  await applied
  const label = '10s'
  t.same(
    await things(url),
    [
      { n: 1, label },
      { n: 2, label },
    ],
    'and a replica without a network gives its locks back',
  )
})

t.test('a server that goes away during a migration is unavailable', async (t) => {
  const url = await server.createDatabase()
  await apply(url, [first, second])
  const gone = { code: 'store_unavailable', detail: /Postgres at .+ cannot be used: .+/ }
  const name = new URL(url).pathname.slice(1)
  // A standby that an address still leads to.
  await server.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
  await t.rejects(apply(url, [first, second, third]), gone)
  await server.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`)
  const other = await server.connect(url)
  t.teardown(() => other.end())
  await other.query(`SELECT pg_advisory_lock(hashtextextended('gatepass.migrations', 0))`)
  const applied = t.rejects(apply(url, [first, second, third]), gone)
  await server.untilBlocked(1, url)
  await other.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = 'gatepass' AND datname = current_database()`)
  await applied
})

t.test('stores that start at the same time share a database', async (t) => {
  const url = await server.createDatabase()
  const opened = await Promise.all(
    Array.from({ length: 3 }, () => [
      PostgresAccountStore.open(url, patient),
      PostgresSessionStore.open(url, patient),
      PostgresKeyStore.open(url, patient),
    ]).flat(),
  )
  await Promise.all(
    opened.map((store) => ('list' in store ? store.list({ limit: 1 }) : store.ping())),
  )
  await Promise.all(opened.map((store) => store.close()))
  t.same(await server.query('SELECT DISTINCT schema FROM gatepass.migrations ORDER BY 1', url), [
    { schema: 'accounts' },
    { schema: 'keys' },
    { schema: 'sessions' },
  ])
})

t.test('a service needs no right to change existing tables', async (t) => {
  const url = await server.createDatabase()
  const database = new URL(url).pathname.slice(1)
  await (await PostgresAccountStore.open(url, patient)).close()
  await server.query(
    `REVOKE ALL ON DATABASE ${database} FROM PUBLIC; GRANT CONNECT ON DATABASE ${database} TO service`,
  )
  await server.query(
    `GRANT USAGE ON SCHEMA gatepass TO service; GRANT SELECT ON gatepass.migrations TO service;
     GRANT SELECT, INSERT, UPDATE ON gatepass.accounts TO service`,
    url,
  )
  const store = closedWith(t, await PostgresAccountStore.open(asService(url), patient))
  await store.create([account()])
  await t.rejects(PostgresSessionStore.open(asService(url), patient), {
    code: 'migration_failed',
    detail: /permission denied/,
  })
})

t.test('the rights of docs/stores.md cover the tables of later versions', async (t) => {
  const page = readProjectFile('docs/stores.md')
  const [, grants = ''] = /```sql\n(GRANT .*?)```/s.exec(page) ?? []
  const url = await server.createDatabase()
  await (await PostgresAccountStore.open(url, patient)).close()
  await run(url, grants)
  await apply(url, [first])
  const store = closedWith(t, await PostgresAccountStore.open(asService(url), patient))
  await store.create([account()])
  await run(asService(url), 'INSERT INTO gatepass.things VALUES (1)')
  t.same(await things(url), [{ n: 1 }])
})
