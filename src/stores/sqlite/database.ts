import { chmodSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementSync,
} from 'node:sqlite'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import { createFolder } from '../../core/files.ts'
import {
  type AppliedMigration,
  migrationFailed,
  type PendingMigration,
  pendingMigrations,
  type Schema,
} from '../migrations.ts'
import { storeUnavailable } from '../store-errors.ts'
import { Checkpoints } from './checkpoints.ts'

/** Longest wait of a read or a write for another process. */
const busyTimeoutMs = 2_000
/** Longest wait of a write for a checkpoint that is behind. Then it makes the WAL larger. */
const checkpointTimeoutMs = 1_000
const retryMs = 1
/** Longest wait for another process that creates the file. */
const openTimeoutMs = 5_000
const openRetryMs = 5
/** Longest wait for another process that migrates the file. A million sessions take 5 s. */
const migrationTimeoutMs = 60_000
/**
 * Maximum number of event-loop turns that a write waits for other writes to join its transaction.
 */
const maxTurns = 8
/** Largest page cache, in KiB: about 150,000 sessions. */
const cacheKib = 64 * 1024
const defaultPageBytes = 2048
/**
 * A parameter as a limit. For a bare `LIMIT ?` SQLite plans by the value, and compiles the
 * statement again each time it is bound, which takes seven times as long as a short statement.
 */
export const boundLimit = 'LIMIT ? + 0'

export interface SqliteOptions {
  /** Page size of a new file. Default: 2,048. */
  readonly pageBytes?: number
  /** Functions that the SQL of the schema can call, by name. */
  readonly functions?: Readonly<Record<string, (value: SQLOutputValue) => bigint>>
}

/**
 * One SQLite file. Acknowledged writes are durable.
 *
 * `synchronous = FULL` flushes the disk at each commit, so writes that arrive within a few turns of the
 * event loop share a transaction (group commit). Each is acknowledged after the commit.
 */
export class SqliteDatabase {
  readonly #path: string
  readonly #db: DatabaseSync
  readonly #beginReads: Change
  readonly #beginTransaction: Change
  readonly #commitTransaction: Change
  /** Writes the first page unchanged. An UPDATE that changes nothing would write nothing. */
  readonly #touch: Change
  readonly #checkpoints: Checkpoints
  #queue: Write<unknown>[] = []
  #reads: Read<unknown>[] = []
  /** Whether a transaction has failed, other than by a lock, and no ping has succeeded since. */
  #hasFailed = false

  /**
   * @param path a file, created with its folder if missing; or `:memory:`
   * @throws `store_unavailable` if it cannot be opened, `migration_failed`
   */
  constructor(path: string, schema: Schema, { pageBytes, functions = {} }: SqliteOptions = {}) {
    this.#path = path
    this.#db = open(path, pageBytes)
    try {
      for (const [name, run] of Object.entries(functions)) this.#db.function(name, run)
      this.#db.exec(`PRAGMA busy_timeout = ${migrationTimeoutMs}`)
      migrate(this.#db, schema)
    } catch (error) {
      this.#db.close()
      throw error
    }
    // The timeout of SQLite blocks the event loop, so `read` and `write` retry instead.
    this.#db.exec('PRAGMA busy_timeout = 0')
    this.#beginReads = this.prepareChange('BEGIN')
    this.#beginTransaction = this.prepareChange('BEGIN IMMEDIATE')
    this.#commitTransaction = this.prepareChange('COMMIT')
    this.#touch = this.prepareChange('PRAGMA user_version = 0')
    this.#checkpoints = new Checkpoints(this.#db, path)
  }

  /** Prepares a statement that reads rows. @throws `store_unavailable` if a table is missing */
  prepare(sql: string): StatementSync {
    try {
      return this.#db.prepare(sql)
    } catch (cause) {
      // `read` repeats its query after this error.
      if (isBusy(cause)) throw cause
      const { message } = cause as Error
      throw storeUnavailable(cause, `The SQLite file ${this.#path} cannot be used: ${message}.`)
    }
  }

  /** Prepares a statement that changes rows. @throws `store_unavailable` if a table is missing */
  prepareChange(sql: string): Change {
    return changeOf(this.prepare(sql))
  }

  /** Runs a read. @throws `store_unavailable` */
  read<T>(query: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#addRead({ query, resolve: resolve as (value: unknown) => void, reject })
    })
  }

  /** Reads of one turn of the event loop share a transaction, whose locks cost more than a read. */
  #addRead(read: Read<unknown>): void {
    if (this.#reads.length === 0) setImmediate(() => this.#runReads())
    this.#reads.push(read)
  }

  #runReads(): void {
    const group = this.#reads.splice(0)
    const isShared = group.length > 1 && this.#db.isOpen && !this.#db.isTransaction
    if (isShared) this.#beginReads()
    for (const read of group) this.#runRead(read)
    if (!isShared) return
    try {
      this.#commitTransaction()
    } catch {
      this.#rollBack()
    }
  }

  /** Runs a read, and repeats it later while another process has the lock. */
  #runRead(read: Read<unknown>): void {
    try {
      read.resolve(read.query())
    } catch (error) {
      const { triedAtMs = performance.now() } = read
      if (!isBusy(error) || msSince(triedAtMs) >= busyTimeoutMs)
        read.reject(storeUnavailable(error))
      else setTimeout(() => this.#addRead({ ...read, triedAtMs }), retryMs)
    }
  }

  /**
   * Runs a write in the next transaction. `change` is synchronous, so nothing runs between its reads and
   * its writes. It must not throw after its first write.
   *
   * @throws `store_unavailable`; a GatepassError of `change`
   */
  write<T>(change: () => T): Promise<T> {
    if (this.#queue.length === 0) this.#awaitGroup(0, maxTurns)
    const queuedAtMs = performance.now()
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ change, queuedAtMs, resolve: resolve as (value: unknown) => void, reject })
    })
  }

  /** Starts the transaction once a turn of the event loop brings no further write. */
  #awaitGroup(seen: number, turnsLeft: number): void {
    setImmediate(() => {
      if (turnsLeft > 0 && this.#queue.length > seen)
        this.#awaitGroup(this.#queue.length, turnsLeft - 1)
      else this.#runGroup()
    })
  }

  /**
   * Resolves if the database works. After a failed write, for example on a full disk, it tries a write, as
   * reads may still work.
   *
   * @throws `store_unavailable`
   */
  async ping(): Promise<void> {
    if (!this.#hasFailed) return void (await this.read(() => this.#db.prepare('SELECT 1').get()))
    await this.write(() => this.#touch())
    this.#hasFailed = false
  }

  async close(): Promise<void> {
    // This empty write settles after all earlier writes.
    await this.write(() => undefined).catch(() => undefined)
    await this.#checkpoints.close()
    if (this.#db.isOpen) this.#db.close()
  }

  /** Runs the queue as one transaction, or retries in a moment if it must wait. */
  #runGroup(): void {
    const waitedMs = msSince(this.#queue[0]?.queuedAtMs ?? 0)
    if (this.#checkpoints.isBehind && waitedMs < checkpointTimeoutMs) this.#runGroupLater()
    else if (this.#begin()) this.#commitGroup(this.#queue.splice(0))
    else if (this.#queue.length > 0) this.#runGroupLater()
  }

  #runGroupLater(): void {
    setTimeout(() => this.#runGroup(), retryMs)
  }

  /**
   * Takes the write lock. If another process has it, rejects the writes that have waited too long.
   * @returns whether this connection has the lock
   */
  #begin(): boolean {
    try {
      this.#beginTransaction()
      return true
    } catch (error) {
      const timeoutMs = isBusy(error) ? busyTimeoutMs : 0
      this.#hasFailed ||= timeoutMs === 0
      while (this.#queue[0] !== undefined && msSince(this.#queue[0].queuedAtMs) >= timeoutMs) {
        this.#queue.shift()?.reject(storeUnavailable(error))
      }
      return false
    }
  }

  #commitGroup(group: Write<unknown>[]): void {
    const settle: (() => void)[] = []
    try {
      for (const write of group) settle.push(run(write))
      this.#commitTransaction()
    } catch (error) {
      this.#hasFailed = true
      this.#rollBack()
      for (const write of group) write.reject(storeUnavailable(error))
      return
    }
    for (const answer of settle) answer()
    this.#checkpoints.afterCommit()
  }

  #rollBack(): void {
    try {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
    } catch {
      // SQLite has rolled back by itself, for example on a full disk.
    }
  }
}

interface Read<T> {
  readonly query: () => T
  /** When it failed for the first time. */
  readonly triedAtMs?: number
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

interface Write<T> {
  readonly change: () => T
  readonly queuedAtMs: number
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

/** Runs one write of a transaction. Returns how to settle it after the commit. */
function run(write: Write<unknown>): () => void {
  try {
    const value = write.change()
    return () => write.resolve(value)
  } catch (error) {
    // A GatepassError concerns this write only. An error of SQLite fails the transaction.
    if (!(error instanceof GatepassError)) throw error
    return () => write.reject(error)
  }
}

/** Runs with these values, and returns the number of the changed rows. */
export type Change = (...values: SQLInputValue[]) => number

function changeOf(statement: StatementSync): Change {
  // `run` also reads the last rowid of the connection, and the rowid of a session is not a safe
  // integer.
  statement.setReadBigInts(true)
  return (...values) => Number(statement.run(...values).changes)
}

function open(path: string, pageBytes = defaultPageBytes): DatabaseSync {
  const isFile = path !== ':memory:'
  let db: DatabaseSync | null = null
  let mode: number | null = null
  try {
    if (isFile) {
      createFolder(dirname(path))
      requireFile(path)
    }
    db = new DatabaseSync(path, { timeout: openTimeoutMs })
    if (isFile) {
      mode = statSync(path).mode
      // The file may contain password hashes, so only its owner may read it. WAL files inherit the mode.
      chmodSync(path, 0o600)
    }
    setUp(db, pageBytes)
    return db
  } catch (error) {
    db?.close()
    // The path is wrong, and the file belongs to another program.
    if (mode !== null && resultCode(error) === sqliteNotADatabase) chmodSync(path, mode)
    const problem = openingProblem(error)
    throw storeUnavailable(error, `The SQLite file ${path} cannot be opened: ${problem}.`)
  }
}

/** @throws Error for a folder, and for a device or a pipe, which must keep its mode */
function requireFile(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats?.isFile() === false) throw new Error('it is not a file')
}

/** Retries while another process creates the file, for which SQLite ignores its own timeout. */
function setUp(db: DatabaseSync, pageBytes: number): void {
  const untilMs = performance.now() + openTimeoutMs
  for (;;) {
    try {
      db.exec(
        `PRAGMA page_size = ${pageBytes}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA cache_size = -${cacheKib}`,
      )
      return
    } catch (error) {
      if (!isBusy(error) || performance.now() > untilMs) throw error
      Atomics.wait(neverNotified, 0, 0, openRetryMs)
    }
  }
}

/** `Atomics.wait` on it is a synchronous sleep. */
const neverNotified = new Int32Array(new SharedArrayBuffer(4))

/** SQLite calls a full disk a "disk I/O error" if the index of the WAL does not fit. */
function openingProblem(error: unknown): string {
  const { errcode, message } = error as Error & { readonly errcode?: number }
  return errcode === sqliteNoRoomForIndex ? 'there is no space for its -shm file' : message
}

const fileInUse = 'Another process is still working on the same file. Try again.'

const sqliteBusy = 5
const sqliteNotADatabase = 26
/** SQLITE_IOERR_SHMSIZE */
const sqliteNoRoomForIndex = 4874

/** Whether another connection has the lock. */
function isBusy(error: unknown): boolean {
  return resultCode(error) === sqliteBusy
}

/** Returns the result code of SQLite, which is the low byte of its extended codes. */
function resultCode(error: unknown): number {
  return Number((error as { errcode?: unknown }).errcode) & 0xff
}

function msSince(startedAtMs: number): number {
  return performance.now() - startedAtMs
}

/**
 * Applies the pending migrations of a schema in one transaction. Processes that start at the same time
 * wait for the first one. Without pending migrations it takes no lock.
 *
 * @throws `migration_failed` if a step fails, was changed, or is unknown to this version;
 *   `store_unavailable` if another process has the lock for too long
 */
export function migrate(db: DatabaseSync, schema: Schema): void {
  try {
    if (pending(db, schema).length > 0) apply(db, schema)
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    if (isGatepassError(error)) throw error
    throw isBusy(error) ? storeUnavailable(error, fileInUse) : migrationFailed(error)
  }
}

function apply(db: DatabaseSync, schema: Schema): void {
  db.exec('BEGIN IMMEDIATE')
  db.exec(
    `CREATE TABLE IF NOT EXISTS migrations (
       schema TEXT, position INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
       PRIMARY KEY (schema, position)) STRICT, WITHOUT ROWID`,
  )
  const insert = changeOf(db.prepare('INSERT INTO migrations VALUES (?, ?, ?, ?)'))
  for (const step of pending(db, schema)) {
    db.exec(step.sql)
    insert(schema.name, step.position, step.name, step.checksum)
  }
  db.exec('COMMIT')
}

function pending(db: DatabaseSync, schema: Schema): PendingMigration[] {
  const table = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").get()
  if (table === undefined) return pendingMigrations(schema, [])
  const applied = db
    .prepare('SELECT name, checksum FROM migrations WHERE schema = ? ORDER BY position')
    .all(schema.name)
  return pendingMigrations(schema, applied as unknown as AppliedMigration[])
}

/**
 * Runs work while holding a lock that processes of this machine share: the lock of an empty database. The
 * operating system releases it when its process ends.
 *
 * @param waitMs longest wait for another process, which blocks the event loop
 * @throws `store_unavailable` if another process has the lock for longer, or if the file does not work
 */
export async function withFileLock<T>(
  path: string,
  waitMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const db = lock(path, waitMs)
  try {
    return await work()
  } finally {
    db.close()
  }
}

function lock(path: string, waitMs: number): DatabaseSync {
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(path, { timeout: waitMs })
    chmodSync(path, 0o600)
    db.exec('BEGIN EXCLUSIVE')
    return db
  } catch (cause) {
    db?.close()
    const detail = isBusy(cause)
      ? fileInUse
      : `The file ${path} cannot be locked: ${(cause as Error).message}.`
    throw storeUnavailable(cause, detail)
  }
}
