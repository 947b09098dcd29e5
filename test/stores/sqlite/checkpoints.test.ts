import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { Checkpoints, type LogState } from '../../../src/stores/sqlite/checkpoints.ts'
import { SqliteDatabase } from '../../../src/stores/sqlite/database.ts'
import { until } from '../../support/until.ts'
import { assertStored, writeUntilKilled } from './writing-process.ts'

/** From here on a log is copied back, however small its file is. */
const least_bytes = 8 * 1024 ** 2
const row_bytes = 64 * 1024
/** Written again and again: the file stays small. */
const rowCount = 16
const writesPerLog = least_bytes / row_bytes
const schema = {
  name: 'rows',
  migrations: [
    {
      name: 'rows',
      sql: 'CREATE TABLE rows (n INTEGER PRIMARY KEY, written INTEGER, filler BLOB)',
    },
  ],
}
const insertRow = 'INSERT OR REPLACE INTO rows VALUES (?, ?, randomblob(?))'

/** A database, and somebody else who looks at its file. */
function openRows(t: Test) {
  const path = join(t.testdir(), 'rows.db')
  const { db, write } = openWriter(t, path)
  const other = new DatabaseSync(path)
  t.teardown(() => other.close())
  return { path, db, write, other }
}

function openWriter(t: Test, path: string) {
  const db = new SqliteDatabase(path, schema)
  t.teardown(() => db.close())
  const insert = db.prepare(insertRow)
  const write = (n: number) => db.write(() => insert.run(n % rowCount, n, row_bytes))
  return { db, write }
}

/** A connection whose log is looked after, with a commit that leaves that to the test. */
function watchLog(t: Test, { threadPath = '', idleMs = 60_000 } = {}) {
  const path = join(t.testdir(), 'rows.db')
  const db = new DatabaseSync(path)
  db.exec(`PRAGMA journal_mode = WAL; ${schema.migrations[0]?.sql}`)
  const checkpoints = new Checkpoints(db, threadPath || path, idleMs)
  t.teardown(async () => {
    await checkpoints.close()
    db.close()
  })
  const insert = db.prepare(insertRow)
  const commit = (count: number) => {
    for (let n = 0; n < count; n++) {
      insert.run(n % rowCount, n, row_bytes)
      checkpoints.afterCommit()
    }
  }
  return { path, db, checkpoints, commit }
}

function logOf(connection: DatabaseSync): LogState {
  return connection.prepare('PRAGMA wal_checkpoint(NOOP)').get() as unknown as LogState
}

function lastWritten(connection: DatabaseSync): unknown {
  return connection.prepare('SELECT max(written) AS last FROM rows').get()?.last
}

/** Writes one after the other until the log has begun anew so many times, and returns how many. */
async function writeUntilAnew(
  write: (n: number) => Promise<unknown>,
  other: DatabaseSync,
  times: number,
) {
  let [count, anew, last] = [0, 0, 0]
  while (anew < times) {
    await write(count++)
    const { log } = logOf(other)
    if (log < last) anew++
    last = log
  }
  return count
}

t.test('while writes go on, the log is copied back and begins anew', async (t) => {
  const { path, write, other } = openRows(t)
  const count = await writeUntilAnew(write, other, 3)
  t.ok(count > 3 * writesPerLog, `after ${count} writes`)
  t.equal(lastWritten(other), count - 1)
  const log_bytes = statSync(`${path}-wal`).size
  t.ok(log_bytes < 8 * least_bytes, `${log_bytes} bytes`)
  t.match(other.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' })
})

t.test('a thread copies it, and nobody has to commit for that', async (t) => {
  const { db, commit } = watchLog(t)
  commit(writesPerLog - 16)
  t.match(logOf(db), { checkpointed: 0 }, 'not before it has grown')
  commit(32)
  await until('all of it is copied', () => logOf(db).log === logOf(db).checkpointed)
  commit(1)
  const { log } = logOf(db)
  t.ok(log < 50, `${log} pages`)
})

t.test('a thread that is not needed ends, and another one goes on', async (t) => {
  const { db, commit } = watchLog(t, { idleMs: 500 })
  for (let times = 0; times < 2; times++) {
    commit(writesPerLog + 16)
    const [thread] = (await once(process, 'worker')) as [Worker]
    thread.ref()
    await once(thread, 'exit')
    const { log, checkpointed } = logOf(db)
    t.equal(checkpointed, log)
  }
})

t.test('a log of a large file may grow larger', async (t) => {
  const { path, db, checkpoints, commit } = watchLog(t)
  const fill = `WITH RECURSIVE number (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM number LIMIT 800)
    INSERT INTO rows SELECT n, 0, randomblob(?) FROM number`
  db.prepare(fill).run(row_bytes)
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const quarter = Math.floor(statSync(path).size / 4 / row_bytes)
  t.ok(quarter - 32 > writesPerLog, `${quarter} writes`)
  commit(quarter - 32)
  await checkpoints.close()
  t.match(logOf(db), { checkpointed: 0 })
})

t.test('who reads on what was there before keeps the log, and loses nothing', async (t) => {
  const { write, other } = openRows(t)
  const reader = new DatabaseSync(other.location() ?? '')
  t.teardown(() => reader.close())
  await write(0)
  reader.exec('BEGIN')
  t.equal(lastWritten(reader), 0)
  const count = 3 * writesPerLog
  for (let n = 1; n <= count; n++) await write(n)
  t.equal(lastWritten(reader), 0, 'it sees what it saw')
  t.ok(logOf(other).log > (count * row_bytes) / 4096, 'all is in the log')
  reader.exec('COMMIT')
  t.equal(lastWritten(reader), count)
  await writeUntilAnew((n) => write(count + n), other, 1)
})

t.test('two that write the same file copy it back between them', async (t) => {
  const { path, write, other } = openRows(t)
  const second = openWriter(t, path)
  const both = (n: number) => Promise.all([write(2 * n), second.write(2 * n + 1)])
  const count = await writeUntilAnew(both, other, 3)
  t.equal(lastWritten(other), 2 * count - 1)
  t.match(other.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' })
})

t.test('without a thread SQLite does it by itself', async (t) => {
  const { db, commit } = watchLog(t, { threadPath: join(t.testdir(), 'missing', 'rows.db') })
  const limit = () => Number(db.prepare('PRAGMA wal_autocheckpoint').get()?.wal_autocheckpoint)
  const before = limit()
  commit(writesPerLog + 32)
  await until('it is left to SQLite', () => limit() < before)
  commit(1)
  const { log, checkpointed } = logOf(db)
  t.equal(checkpointed, log)
})

t.test('closing waits until it is copied, and leaves one file', async (t) => {
  const path = join(t.testdir(), 'rows.db')
  const { db, write } = openWriter(t, path)
  for (let n = 0; n < writesPerLog + 32; n++) await write(n)
  await Promise.all([db.close(), db.close()])
  t.notOk(existsSync(`${path}-wal`))
  const after = new DatabaseSync(path)
  t.equal(lastWritten(after), writesPerLog + 31)
  after.close()
})

t.test('killed at any time of it, a process loses nothing that it has acknowledged', async (t) => {
  const path = join(t.testdir(), 'numbers.db')
  const acknowledged: number[] = []
  for (let round = 1; round <= 8; round++) {
    const count = writesPerLog + round * 23
    const options = { count, filler_bytes: row_bytes, first: round * 10_000 }
    acknowledged.push(...(await writeUntilKilled(t, path, options)))
  }
  assertStored(t, path, acknowledged)
})

t.test('so do two processes that write the same file', async (t) => {
  const path = join(t.testdir(), 'numbers.db')
  const count = 4 * writesPerLog
  const both = [1, 100_000].map((first) =>
    writeUntilKilled(t, path, { count, filler_bytes: row_bytes, first }),
  )
  const acknowledged = (await Promise.all(both)).flat()
  const log_bytes = statSync(`${path}-wal`).size
  t.ok(log_bytes < acknowledged.length * row_bytes, `${log_bytes} bytes`)
  assertStored(t, path, acknowledged)
})
