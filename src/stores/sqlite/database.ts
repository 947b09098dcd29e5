import { chmodSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { GatepassError } from '../../core/errors.ts'
import type { Schema } from '../migrations.ts'
import { Checkpoints } from './checkpoints.ts'
import { migrate } from './migrations.ts'

/** How long a read or a write waits for another process before it fails. */
const busyTimeoutMs = 2_000
/** How long a write waits for a checkpoint that is behind before it makes the WAL larger. */
const checkpointTimeoutMs = 1_000
const retryMs = 1
/** How long opening waits for another process that creates the file. */
const openTimeoutMs = 5_000
const setUpPauseMs = 5
/** How long opening waits for another process that migrates the file; a million sessions take 5 s. */
const migrationTimeoutMs = 60_000
/** So many turns of the event loop a write waits at most for others to join it. */
const turnsMax = 8
/** Pages kept in memory, taken as they are needed: a hundred and fifty thousand sessions. */
const cache_kib = 64 * 1024
/** Of a file that is made, unless its store asks for another. */
const defaultPage_bytes = 2048
/**
 * A parameter as a limit. With a bare one SQLite makes its plan by the value, and so compiles the
 * statement anew each time it is bound: seven times as long as a short one takes.
 */
export const boundLimit = 'LIMIT ? + 0'
/** What a caller is told to wait when the database did not answer. */
const retryAfterSeconds = 1

export interface SqliteOptions {
  /** How large the pages of a file are that is made; by default 2,048. One that is there keeps its own. */
  readonly page_bytes?: number
  /** What the SQL of its schema can call, by name. */
  readonly functions?: Readonly<Record<string, (value: SQLOutputValue) => bigint>>
}

/**
 * One SQLite file whose writes are durable when they are acknowledged, and fast all the same.
 *
 * `synchronous = FULL` costs one disk flush a commit. So the writes that arrive together, within
 * some turns of the event loop, are run in one transaction (group commit), and each is answered after
 * its commit.
 */
export class SqliteDatabase {
  readonly #db: DatabaseSync
  readonly #beginStatement: StatementSync
  readonly #commitStatement: StatementSync
  /** Writes the first page anew as it is. (An UPDATE that changes nothing would write nothing.) */
  readonly #touch: StatementSync
  readonly #checkpoints: Checkpoints
  #queue: Write<unknown>[] = []
  /** Whether a group has failed, by more than a lock, and no ping has found since that writes work. */
  #hasFailed = false

  /**
   * @param path a file, made with its folder when missing; or `:memory:`
   * @throws `store_unavailable` when it can't be opened, `migration_failed`
   */
  constructor(path: string, schema: Schema, { page_bytes, functions = {} }: SqliteOptions = {}) {
    this.#db = open(path, page_bytes)
    try {
      for (const [name, run] of Object.entries(functions)) this.#db.function(name, run)
      this.#db.exec(`PRAGMA busy_timeout = ${migrationTimeoutMs}`)
      migrate(this.#db, schema)
    } catch (error) {
      this.#db.close()
      throw error
    }
    // To wait, SQLite blocks the event loop. `read` and `write` try again instead.
    this.#db.exec('PRAGMA busy_timeout = 0')
    this.#beginStatement = this.#db.prepare('BEGIN IMMEDIATE')
    this.#commitStatement = this.#db.prepare('COMMIT')
    this.#touch = this.#db.prepare('PRAGMA user_version = 0')
    this.#checkpoints = new Checkpoints(this.#db, path)
  }

  prepare(sql: string) {
    return this.#db.prepare(sql)
  }

  /** Runs a read. */
  async read<T>(query: () => T): Promise<T> {
    const startedAtMs = performance.now()
    for (;;) {
      try {
        return query()
      } catch (error) {
        if (!isBusy(error) || msSince(startedAtMs) >= busyTimeoutMs) throw unavailable(error)
      }
      await sleep(retryMs)
    }
  }

  /**
   * Runs a write in the next group. `change` runs alone and at once inside the transaction, so what
   * it reads is what it writes upon. It must not throw after its first statement that writes.
   */
  write<T>(change: () => T): Promise<T> {
    if (this.#queue.length === 0) this.#awaitGroup(0, turnsMax)
    const queuedAtMs = performance.now()
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ change, queuedAtMs, resolve: resolve as (value: unknown) => void, reject })
    })
  }

  /** Commits once a turn of the event loop has brought no more: under load that makes groups large. */
  #awaitGroup(seen: number, turns: number): void {
    setImmediate(() => {
      if (turns > 0 && this.#queue.length > seen) this.#awaitGroup(this.#queue.length, turns - 1)
      else this.#runGroup()
    })
  }

  /**
   * While writes fail, as on a full disk, this tries one: that reads work is no help then, and whoever
   * waits for this to resolve sends no writes.
   */
  async ping(): Promise<void> {
    if (!this.#hasFailed) return void (await this.read(() => this.#db.prepare('SELECT 1').get()))
    await this.write(() => this.#touch.run())
    this.#hasFailed = false
  }

  async close(): Promise<void> {
    // This write is settled after all writes before it.
    await this.write(() => undefined).catch(() => undefined)
    await this.#checkpoints.close()
    if (this.#db.isOpen) this.#db.close()
  }

  /** Runs the queue as one transaction, or tries again in a moment if it has to wait. */
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
      this.#beginStatement.run()
      return true
    } catch (error) {
      const timeoutMs = isBusy(error) ? busyTimeoutMs : 0
      this.#hasFailed ||= timeoutMs === 0
      while (this.#queue[0] !== undefined && msSince(this.#queue[0].queuedAtMs) >= timeoutMs) {
        this.#queue.shift()?.reject(unavailable(error))
      }
      return false
    }
  }

  #commitGroup(group: Write<unknown>[]): void {
    const settle: (() => void)[] = []
    try {
      for (const write of group) settle.push(run(write))
      this.#commitStatement.run()
    } catch (error) {
      this.#hasFailed = true
      this.#rollBack()
      for (const write of group) write.reject(unavailable(error))
      return
    }
    for (const answer of settle) answer()
    this.#checkpoints.afterCommit(group.length)
  }

  #rollBack(): void {
    try {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
    } catch {
      // SQLite has rolled back by itself (a full disk, an I/O error): there is nothing left to undo.
    }
  }
}

interface Write<T> {
  readonly change: () => T
  readonly queuedAtMs: number
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

/** Runs one write of a group; the answer waits until the group is committed. */
function run(write: Write<unknown>): () => void {
  try {
    const value = write.change()
    return () => write.resolve(value)
  } catch (error) {
    // Our own refusals concern this write only; anything else is the database's and ends the group.
    if (!(error instanceof GatepassError)) throw error
    return () => write.reject(error)
  }
}

function open(path: string, page_bytes = defaultPage_bytes): DatabaseSync {
  let db: DatabaseSync | null = null
  try {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    db = new DatabaseSync(path, { timeout: openTimeoutMs })
    // Who reads the file reads password hashes: it is the owner's alone. WAL files inherit the mode.
    if (path !== ':memory:') chmodSync(path, 0o600)
    setUp(db, page_bytes)
    return db
  } catch (error) {
    db?.close()
    throw new GatepassError('store_unavailable', {
      detail: `The SQLite file ${path} can't be opened.`,
      cause: error,
    })
  }
}

/**
 * Of several processes that start at once one makes the file, and its log. SQLite lets nobody wait for
 * that, whatever its timeout says: so we do.
 */
function setUp(db: DatabaseSync, newPage_bytes: number): void {
  const untilMs = performance.now() + openTimeoutMs
  for (;;) {
    try {
      db.exec(
        `PRAGMA page_size = ${newPage_bytes}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA cache_size = -${cache_kib}`,
      )
      return
    } catch (error) {
      if (!isBusy(error) || performance.now() > untilMs) throw error
      Atomics.wait(nobodyWakes, 0, 0, setUpPauseMs)
    }
  }
}

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))

/** Somebody else was writing for too long: SQLITE_BUSY, whose extended codes share its low byte. */
function isBusy(error: unknown): boolean {
  return (Number((error as { errcode?: unknown }).errcode) & 0xff) === 5
}

function msSince(startedAtMs: number): number {
  return performance.now() - startedAtMs
}

function unavailable(error: unknown): GatepassError {
  if (error instanceof GatepassError) return error
  return new GatepassError('store_unavailable', { cause: error, retryAfterSeconds })
}
