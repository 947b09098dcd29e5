import { execFileSync } from 'node:child_process'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { GatepassError } from '../../../src/core/errors.ts'
import { SqliteDatabase, withFileLock } from '../../../src/stores/sqlite/database.ts'
import { closedWith } from '../../support/closed-with.ts'
import { smallDisk } from '../../support/small-disk.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { assertStored, writeUntilKilled } from './writing-process.ts'

const schema = {
  name: 'numbers',
  migrations: [
    { name: 'numbers', sql: 'CREATE TABLE numbers (n INTEGER PRIMARY KEY, filler BLOB) STRICT' },
  ],
}

/** A database of numbers in a folder of its own, and another connection to the same file. */
function openNumbers(t: Test) {
  const path = join(createTestFolder(t), 'numbers.db')
  const db = new SqliteDatabase(path, schema)
  const other = new DatabaseSync(path)
  t.teardown(async () => {
    other.close()
    await db.close()
  })
  const insert = db.prepare('INSERT INTO numbers (n) VALUES (?)')
  const add = (n: number) => db.write(() => Number(insert.run(n).changes))
  const stored = () =>
    other
      .prepare('SELECT n FROM numbers ORDER BY n')
      .all()
      .map(({ n }) => Number(n))
  return { path, db, other, add, stored }
}

/** How many pages the write-ahead log holds; each transaction adds those it changed. */
function pagesInLog(connection: DatabaseSync): number {
  return Number(connection.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()?.log)
}

t.test('writes of one turn of the event loop are one transaction', async (t) => {
  const { add, other, stored } = openNumbers(t)
  pagesInLog(other)
  const numbers = Array.from({ length: 500 }, (_, n) => n)
  await Promise.all(numbers.map(add))
  t.strictSame(stored(), numbers)
  const together = pagesInLog(other)
  t.ok(together < 30, `${together} pages`)
  for (const n of numbers.slice(0, 50)) await add(1000 + n)
  const apart = pagesInLog(other)
  t.ok(apart >= 50, `${apart} pages`)
})

t.test('a write is acknowledged after its commit', async (t) => {
  const { db, add, stored } = openNumbers(t)
  let seenInside: number[] = []
  const first = add(1)
  const second = db.write(() => {
    seenInside = stored()
    return 'value'
  })
  t.strictSame(stored(), [], 'nothing runs before the turn ends')
  t.equal(await second, 'value')
  t.strictSame(seenInside, [], 'others see nothing of an open transaction')
  t.equal(await first, 1)
  t.strictSame(stored(), [1])
})

t.test('a write sees earlier writes of its transaction', async (t) => {
  const { db, add } = openNumbers(t)
  const count = db.prepare('SELECT count(*) AS count FROM numbers')
  const counts = await Promise.all([
    db.write(() => count.get()?.count),
    add(1),
    db.write(() => count.get()?.count),
  ])
  t.strictSame(counts, [0, 1, 1])
})

t.test('a refused write does not affect others in its transaction', async (t) => {
  const { db, add, stored } = openNumbers(t)
  const refusal = db.write(() => {
    throw new GatepassError('account_exists')
  })
  const results = await Promise.allSettled([add(1), refusal, add(2)])
  t.match(results, [
    { status: 'fulfilled' },
    { status: 'rejected', reason: { code: 'account_exists' } },
    { status: 'fulfilled' },
  ])
  t.strictSame(stored(), [1, 2])
})

t.test('an error of SQLite fails all writes of the transaction', async (t) => {
  const { add, stored } = openNumbers(t)
  await add(1)
  const results = await Promise.allSettled([add(2), add(1), add(3)])
  for (const result of results) {
    t.match(result, {
      status: 'rejected',
      reason: { code: 'store_unavailable', retryAfterSeconds: 1 },
    })
  }
  t.strictSame(stored(), [1])
  await add(4)
  t.strictSame(stored(), [1, 4], 'and the next group goes through')
})

t.test('a full disk fails all writes of the transaction', async (t) => {
  const { db, add, stored } = openNumbers(t)
  await add(1)
  const limit = db.prepare('PRAGMA max_page_count = 10').get()
  t.match(limit, { max_page_count: 10 })
  const insertLarge = db.prepare('INSERT INTO numbers VALUES (?, ?)')
  const large = db.write(() => insertLarge.run(2, Buffer.alloc(1_000_000)))
  const results = await Promise.allSettled([add(3), large, add(4)])
  for (const result of results) {
    t.match(result, { status: 'rejected', reason: { code: 'store_unavailable' } })
  }
  await add(5)
  t.strictSame(stored(), [1, 5])
})

t.test('while another process has the lock, writes wait and reads continue', async (t) => {
  const { db, other, add, stored } = openNumbers(t)
  await add(1)
  other.exec('BEGIN IMMEDIATE')
  const writes = [add(2), add(3)]
  const count = db.prepare('SELECT count(*) AS count FROM numbers')
  t.equal(await db.read(() => count.get()?.count), 1)
  await db.ping()
  other.exec('ROLLBACK')
  await Promise.all(writes)
  t.strictSame(stored(), [1, 2, 3])
})

t.test('writes fail if another process keeps the lock', async (t) => {
  const { other, add, stored } = openNumbers(t)
  other.exec('BEGIN IMMEDIATE')
  for (const result of await Promise.allSettled([add(1), add(2)])) {
    t.match(result, { status: 'rejected', reason: { code: 'store_unavailable', status: 503 } })
  }
  other.exec('ROLLBACK')
  await add(3)
  t.strictSame(stored(), [3])
})

t.test('acknowledged writes survive a kill', async (t) => {
  const path = join(createTestFolder(t), 'numbers.db')
  const acknowledged = await writeUntilKilled(t, path, { count: 500 })
  t.ok(acknowledged.length >= 500)
  assertStored(t, path, acknowledged)
})

t.test('close() commits waiting writes and refuses further ones', async (t) => {
  const path = join(createTestFolder(t), 'numbers.db')
  const db = new SqliteDatabase(path, schema)
  const insert = db.prepare('INSERT INTO numbers (n) VALUES (?)')
  const waiting = db.write(() => insert.run(1))
  await db.close()
  t.match(await waiting, { changes: 1 })
  await t.rejects(
    db.write(() => insert.run(2)),
    { code: 'store_unavailable' },
  )
  await t.rejects(
    db.read(() => insert.run(2)),
    { code: 'store_unavailable' },
  )
  await t.rejects(db.ping(), { code: 'store_unavailable' })
  await db.close()
})

t.test('the file and its folders are created for their owner only', async (t) => {
  const folder = join(createTestFolder(t), 'a', 'b')
  const path = join(folder, 'numbers.db')
  const db = closedWith(t, new SqliteDatabase(path, schema))
  const insert = db.prepare('INSERT INTO numbers (n) VALUES (?)')
  await db.write(() => insert.run(1))
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    t.equal(statSync(file).mode & 0o777, 0o600, file)
  }
  t.equal(statSync(folder).mode & 0o777, 0o700)
})

t.test('the error names a file that cannot be opened, and why', async (t) => {
  const folder = createTestFolder(t, { 'not-a-folder': '' })
  const garbage = join(folder, 'garbage.db')
  writeFileSync(garbage, 'This is no database. '.repeat(100))
  const { mode } = statSync(garbage)
  // As root, a mode of 600 would make a device such as the null device unusable for all others.
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', ['-m', '666', pipe])
  for (const [path, reason] of [
    [folder, /it is not a file\.$/],
    [join(folder, 'not-a-folder', 'numbers.db'), /ENOTDIR|EEXIST/],
    [garbage, /file is not a database\.$/],
    [pipe, /it is not a file\.$/],
  ] as const) {
    const open = () => new SqliteDatabase(path, schema)
    t.throws(open, { code: 'store_unavailable', detail: reason })
    t.throws(open, {
      code: 'store_unavailable',
      detail: new RegExp(`^The SQLite file ${path} cannot be opened: `),
    })
  }
  t.equal(statSync(garbage).mode, mode, 'a file of another program stays as it is')
  t.equal(statSync(pipe).mode & 0o777, 0o666)
})

t.test('the error of a file on a full disk says so', async (t) => {
  const disk = smallDisk(t, '1m')
  if (disk === null) {
    t.pass('no file system can be mounted')
    return
  }
  const path = join(disk.folder, 'numbers.db')
  await new SqliteDatabase(path, schema).close()
  disk.fill(process.pid)
  const detail = `The SQLite file ${path} cannot be opened: there is no space for its -shm file.`
  t.throws(() => new SqliteDatabase(path, schema), { code: 'store_unavailable', detail })
})

t.test('a database in memory lasts until it is closed', async (t) => {
  const db = closedWith(t, new SqliteDatabase(':memory:', schema))
  const insert = db.prepare('INSERT INTO numbers (n) VALUES (?)')
  t.match(await db.write(() => insert.run(1)), { changes: 1 })
})

t.test('the error of a missing table names the file', async (t) => {
  const { db, path } = openNumbers(t)
  for (const prepare of [
    () => db.prepare('SELECT 1 FROM gone'),
    () => db.prepareChange('DELETE FROM gone'),
  ])
    t.throws(prepare, {
      code: 'store_unavailable',
      detail: `The SQLite file ${path} cannot be used: no such table: gone.`,
    })
})

t.test('one call at a time has the file lock, and releases it also after an error', async (t) => {
  const path = join(createTestFolder(t), 'a.lock')
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const first = withFileLock(path, 0, async () => {
    await release
    throw new Error('of the work')
  })
  await t.rejects(
    withFileLock(path, 0, async () => t.fail('both have it')),
    { code: 'store_unavailable', detail: /^Another process is still working/ },
  )
  resolve()
  await t.rejects(first, { message: 'of the work' })
  t.equal(await withFileLock(path, 0, async () => 'mine'), 'mine')
  t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('a file that cannot be locked is not said to be in use', async (t) => {
  const folder = createTestFolder(t, { 'a.lock': 'This is no database.' })
  for (const [path, reason] of [
    [join(folder, 'a.lock'), 'file is not a database'],
    [folder, 'unable to open database file'],
  ] as const) {
    await t.rejects(
      withFileLock(path, 0, async () => t.fail('it has the lock')),
      { code: 'store_unavailable', detail: `The file ${path} cannot be locked: ${reason}.` },
    )
  }
})
