import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import { buildSync } from 'esbuild'
import t, { type Test } from 'tap'
import { type CheckpointResult, Checkpoints } from '../../../src/stores/sqlite/checkpoints.ts'
import { SqliteDatabase } from '../../../src/stores/sqlite/database.ts'
import { closedWith } from '../../support/closed-with.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { assertStored, writeUntilKilled } from './writing-process.ts'

const mib = 1024 ** 2
/** The promised limit. */
const maxWalBytes = 128 * mib
/** A checkpoint starts at this size. */
const startBytes = 32 * mib
const rowBytes = 64 * 1024
const rowsPerCheckpoint = startBytes / rowBytes
/** The WAL is measured after this many changed rows. */
const rowsPerMeasurement = 256
/** Few rows, which are replaced repeatedly, so that the file stays small. */
const rowCount = 16
const schema = {
  name: 'rows',
  migrations: [
    {
      name: 'rows',
      sql: 'CREATE TABLE rows (n INTEGER PRIMARY KEY, written INTEGER, filler BLOB)',
    },
  ],
}
const insertRow = 'INSERT OR REPLACE INTO rows VALUES (?, ?, zeroblob(?))'

/** A database with a writer of rows, and another connection to its file. */
function openRows(t: Test) {
  const path = join(createTestFolder(t), 'rows.db')
  const db = new SqliteDatabase(path, schema)
  const other = new DatabaseSync(path)
  t.teardown(async () => {
    if (other.isOpen) other.close()
    await db.close()
  })
  const insert = db.prepare(insertRow)
  const write = (n: number, bytes = rowBytes) => db.write(() => insert.run(n % rowCount, n, bytes))
  /** Writes all rows in one commit each time; the WAL grows by as many bytes as are written. */
  const writeRows = async (commits: number, first = 0) => {
    for (let n = first; n < first + commits * rowCount; n += rowCount) {
      await Promise.all(Array.from({ length: rowCount }, (_, i) => write(n + i)))
    }
  }
  /** Writes all rows in one write, as an import does. */
  const writeBatch = (first: number) =>
    db.write(() => {
      for (let i = 0; i < rowCount; i++) insert.run(i, first + i, rowBytes)
    })
  return { path, db, write, writeRows, writeBatch, other }
}

/** A connection whose checkpoints run in a thread that opens `threadPath`. */
function openCheckpoints(t: Test, path: string, threadPath = path, Class = Checkpoints) {
  // Commits wait for the restart of the WAL.
  const db = new DatabaseSync(path, { timeout: 60_000 })
  db.exec(`PRAGMA journal_mode = WAL; ${schema.migrations[0]?.sql}`)
  const checkpoints = new Class(db, threadPath)
  t.teardown(async () => {
    await checkpoints.close()
    db.close()
  })
  const insert = db.prepare(insertRow)
  const commit = (rows: number) => {
    for (let n = 0; n < rows; n += rowCount) {
      db.exec('BEGIN')
      for (let i = 0; i < rowCount; i++) insert.run(i, n, rowBytes)
      db.exec('COMMIT')
      checkpoints.afterCommit()
    }
  }
  return { db, commit }
}

function walOf(connection: DatabaseSync): CheckpointResult {
  return connection.prepare('PRAGMA wal_checkpoint(NOOP)').get() as unknown as CheckpointResult
}

function walBytes(connection: DatabaseSync): number {
  const pageBytes = Number(connection.prepare('PRAGMA page_size').get()?.page_size)
  return walOf(connection).log * pageBytes
}

function lastWritten(connection: DatabaseSync): unknown {
  return connection.prepare('SELECT max(written) AS last FROM rows').get()?.last
}

for (const [processes, count] of [
  [1, 3_000],
  [3, 1_000],
] as const) {
  t.test(`the WAL stays below 128 MiB, writing processes: ${processes}`, async (t) => {
    const path = join(createTestFolder(t), 'numbers.db')
    const writers = Array.from({ length: processes }, (_, n) =>
      writeUntilKilled(t, path, { count, fillerBytes: rowBytes, first: (n + 1) * 1_000_000 }),
    )
    const acknowledged = (await Promise.all(writers)).flat()
    // The file has the size of the largest WAL, as SQLite truncates no WAL below the limit.
    const { size } = statSync(`${path}-wal`)
    t.ok(size >= startBytes && size < maxWalBytes, `${size / mib} MiB`)
    assertStored(t, path, acknowledged)
  })
}

t.test('with writes of many rows the WAL stays below 128 MiB', async (t) => {
  const { path, writeBatch } = openRows(t)
  const count = (maxWalBytes + startBytes) / rowBytes
  for (let n = 0; n < count; n += rowCount) await writeBatch(n)
  const { size } = statSync(`${path}-wal`)
  t.ok(size >= startBytes && size < maxWalBytes, `${size / mib} MiB`)
})

t.test('a process killed during a checkpoint loses nothing that it acknowledged', async (t) => {
  const path = join(createTestFolder(t), 'numbers.db')
  const acknowledged: number[] = []
  for (let round = 1; round <= 4; round++) {
    const count = rowsPerCheckpoint + round * 32
    const options = { count, fillerBytes: rowBytes, first: round * 10_000 }
    acknowledged.push(...(await writeUntilKilled(t, path, options)))
  }
  assertStored(t, path, acknowledged)
})

t.test('a process that may not start threads restarts its WAL and loses nothing', async (t) => {
  const path = join(createTestFolder(t), 'numbers.db')
  const nodeOptions = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*']
  const count = 3 * rowsPerCheckpoint
  const options = { count, fillerBytes: rowBytes, nodeOptions }
  const acknowledged = await writeUntilKilled(t, path, options)
  t.ok(statSync(`${path}-wal`).size < 2 * startBytes)
  assertStored(t, path, acknowledged)
})

t.test('a thread runs for one checkpoint', async (t) => {
  const path = join(createTestFolder(t), 'rows.db')
  const { db, commit } = openCheckpoints(t, path)
  for (let times = 0; times < 2; times++) {
    const started = once(process, 'worker')
    commit(rowsPerCheckpoint + rowsPerMeasurement)
    const [thread] = (await started) as [Worker]
    thread.ref()
    t.strictSame(await once(thread, 'exit'), [0])
    commit(rowCount)
    t.ok(walBytes(db) < startBytes, 'the next commit restarts the WAL')
  }
})

t.test('if the thread fails, the connection runs the checkpoint', async (t) => {
  const folder = createTestFolder(t)
  const missing = join(folder, 'missing', 'rows.db')
  const { db, commit } = openCheckpoints(t, join(folder, 'rows.db'), missing)
  const started = once(process, 'worker')
  commit(rowsPerCheckpoint + rowsPerMeasurement)
  const [thread] = (await started) as [Worker]
  thread.ref()
  const exited = new Promise((resolve) => thread.once('exit', resolve))
  t.not(await exited, 0)
  const { log, checkpointed } = walOf(db)
  t.equal(checkpointed, log)
})

t.test('in a bundle of CommonJS, the connection runs the checkpoint', async (t) => {
  const folder = createTestFolder(t)
  const outfile = join(folder, 'bundle.cjs')
  buildSync({
    entryPoints: ['src/stores/sqlite/checkpoints.ts'],
    outfile,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    logLevel: 'error',
  })
  const bundle = createRequire(import.meta.url)(outfile)
  const path = join(folder, 'rows.db')
  const { db, commit } = openCheckpoints(t, path, path, bundle.Checkpoints)
  commit(rowsPerCheckpoint + rowsPerMeasurement)
  t.ok(walBytes(db) < startBytes)
})

t.test('a long read keeps its snapshot and the WAL; after it the WAL is cut', async (t) => {
  const { path, write, writeRows, other } = openRows(t)
  const reader = closedWith(t, new DatabaseSync(path))
  await write(0)
  reader.exec('BEGIN')
  t.equal(lastWritten(reader), 0)
  const count = (maxWalBytes + startBytes) / rowBytes
  await writeRows(count / rowCount, 1)
  t.equal(lastWritten(reader), 0, 'the reader sees what it saw')
  t.ok(statSync(`${path}-wal`).size > maxWalBytes)
  reader.exec('COMMIT')
  t.equal(lastWritten(reader), count)
  let last = count
  while (statSync(`${path}-wal`).size > maxWalBytes) await write(++last, 10)
  t.equal(lastWritten(other), last)
})

t.test('closing during a checkpoint leaves one file', async (t) => {
  const { path, db, writeRows, other } = openRows(t)
  other.close()
  const started = once(process, 'worker')
  await writeRows((rowsPerCheckpoint + rowsPerMeasurement) / rowCount)
  await started
  await Promise.all([db.close(), db.close()])
  t.notOk(existsSync(`${path}-wal`))
  const after = new DatabaseSync(path)
  t.equal(lastWritten(after), rowsPerCheckpoint + rowsPerMeasurement - 1)
  after.close()
})
