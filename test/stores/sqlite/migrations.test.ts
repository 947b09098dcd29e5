import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import type { Migration } from '../../../src/stores/migrations.ts'
import { SqliteAccountStore } from '../../../src/stores/sqlite/account-store.ts'
import { SqliteCounterStore } from '../../../src/stores/sqlite/counter-store.ts'
import { SqliteDataStore } from '../../../src/stores/sqlite/data-store.ts'
import { migrate } from '../../../src/stores/sqlite/database.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { account } from '../../support/accounts.ts'
import { closedWith } from '../../support/closed-with.ts'
import { session, t0 } from '../../support/sessions.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { newOwner, write } from '../data-store-contract.ts'

const first = { name: 'first', sql: 'CREATE TABLE things (n INTEGER) STRICT' }
const second = {
  name: 'second',
  sql: 'INSERT INTO things VALUES (1); INSERT INTO things VALUES (2)',
}
const third = { name: 'third', sql: 'ALTER TABLE things ADD COLUMN label TEXT' }

const schema = (migrations: readonly Migration[]) => ({ name: 'things', migrations })

function things(db: DatabaseSync): unknown[] {
  return db
    .prepare('SELECT * FROM things')
    .all()
    .map((row) => ({ ...row }))
}

function open() {
  return closedWith(t, new DatabaseSync(':memory:'))
}

t.test('each step is applied once, in order', async (t) => {
  const db = open()
  migrate(db, schema([first, second]))
  migrate(db, schema([first, second]))
  t.strictSame(things(db), [{ n: 1 }, { n: 2 }])
  migrate(db, schema([first, second, third]))
  t.strictSame(things(db), [
    { n: 1, label: null },
    { n: 2, label: null },
  ])
})

t.test('a migrated file is opened while another process writes to it', (t) => {
  const path = join(createTestFolder(t), 'things.db')
  const [db, other] = [new DatabaseSync(path), new DatabaseSync(path)]
  t.teardown(() => [db, other].map((one) => one.close()))
  migrate(other, schema([first, second]))
  other.exec('PRAGMA journal_mode = WAL; BEGIN IMMEDIATE')
  migrate(db, schema([first, second]))
  t.throws(() => migrate(db, schema([first, second, third])), {
    code: 'store_unavailable',
    detail: /Another process/,
  })
  t.end()
})

t.test('stores that share a file have separate migrations', async (t) => {
  const db = open()
  migrate(db, schema([first]))
  migrate(db, { name: 'others', migrations: [{ name: 'one', sql: 'CREATE TABLE others (n) ' }] })
  migrate(db, schema([first, second]))
  t.strictSame(things(db), [{ n: 1 }, { n: 2 }])
})

const refused: Record<string, Migration[]> = {
  'a step that was changed': [first, { ...second, sql: 'INSERT INTO things VALUES (3)' }],
  'a step of another name': [first, { ...second, name: 'other' }],
  'another order': [second, first],
  'a schema newer than the program': [first],
  'no steps at all': [],
  'a changed step with a new one behind': [{ ...first, sql: 'SELECT 1' }, second, third],
}

for (const [what, steps] of Object.entries(refused)) {
  t.test(`refused without a change: ${what}`, async (t) => {
    const db = open()
    migrate(db, schema([first, second]))
    t.throws(() => migrate(db, schema(steps)), { code: 'migration_failed' })
    t.notOk(db.isTransaction)
    t.strictSame(things(db), [{ n: 1 }, { n: 2 }])
    t.doesNotThrow(() => migrate(db, schema([first, second])))
  })
}

t.test('the error for a newer schema says which version to start', (t) => {
  const db = open()
  migrate(db, schema([first, second]))
  t.throws(() => migrate(db, schema([first])), {
    code: 'migration_failed',
    detail: /^A newer version of Gatepass has migrated this store \(step "second"\)\. Start that/,
  })
  t.end()
})

t.test('running stores go on after a newer version has added columns', async (t) => {
  const path = join(createTestFolder(t), 'gatepass.db')
  const [accounts, sessions, counters, data] = [
    new SqliteAccountStore(path),
    new SqliteSessionStore(path),
    new SqliteCounterStore(path),
    new SqliteDataStore(path),
  ] as const
  const newer = closedWith(t, new DatabaseSync(path))
  const tables = newer.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
  for (const { name } of tables) {
    if (name !== 'sqlite_sequence') newer.exec(`ALTER TABLE ${name} ADD COLUMN later TEXT`)
  }
  await accounts.create([account({ sub: 'user-1' })])
  await sessions.create(session())
  await sessions.revokeAll('user-1', t0, 1000)
  await sessions.putOneTime('code', '', t0 + 1000)
  const { count } = await counters.counter({ name: 'logins', limit: 1, windowSeconds: 60 }).add('x')
  t.equal(count, 1)
  t.equal(await data.write(write({ owner: newOwner() })), 'written')
  for (const store of [accounts, sessions, counters, data]) await store.close()
})

t.test('a failed step rolls back the steps before it', async (t) => {
  const db = open()
  const failing = {
    name: 'failing',
    sql: 'INSERT INTO things VALUES (3); INSERT INTO no_such VALUES (1)',
  }
  t.throws(() => migrate(db, schema([first, second, failing])), {
    code: 'migration_failed',
    detail: /no such table: no_such/,
  })
  t.notOk(db.isTransaction)
  t.strictSame(db.prepare('SELECT name FROM sqlite_schema').all(), [])
  migrate(db, schema([first, second]))
  t.strictSame(things(db), [{ n: 1 }, { n: 2 }])
})

t.test('processes that start at the same time apply each step once', async (t) => {
  const path = join(createTestFolder(t), 'new.db')
  const program = join(import.meta.dirname, 'programs', 'migrate.ts')
  const children = Array.from({ length: 6 }, () =>
    spawn(process.execPath, [program, path], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  t.teardown(() => children.map((child) => child.kill('SIGKILL')))
  await Promise.all(children.map(({ stdout }) => once(stdout, 'data')))
  const exits = children.map((child) => once(child, 'exit'))
  for (const { stdin } of children) stdin.write('go\n')
  t.strictSame(
    (await Promise.all(exits)).map(([code]) => code),
    children.map(() => 0),
  )
  const db = closedWith(t, new DatabaseSync(path))
  const rows = db.prepare('SELECT n FROM first').all()
  t.strictSame(
    rows.map(({ n }) => n),
    [1, 2],
  )
})
