import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { programBeside } from '../../core/program.ts'

/**
 * The log is copied back when it has grown to this part of the file, within these bounds: where there
 * are more pages, more of them are copied at once, and what each costs stays the same.
 */
const partOfFile = 1 / 4
const least_bytes = 8 * 1024 ** 2
const most_bytes = 128 * 1024 ** 2
/**
 * Looking costs a thousandth of what so many commits do, and they write little beside all that. (Before
 * version 3.51 SQLite knows no look, and copies each time: right as well, and slower.)
 */
const commitsPerLook = 16
/** After so many it is tried again when others kept it from being copied: sorting a log is some work. */
const commitsPerRetry = 256
/** A thread takes some 20 MiB: one that is seldom needed is ended, and started again. */
const threadIdleMs = 30_000

/** What a checkpoint of SQLite tells: in pages, or -1 where there is no log. */
export interface LogState {
  /** Not 0 when another connection is at it. */
  readonly busy: number
  readonly log: number
  readonly checkpointed: number
}

export type CheckpointMessage = 'copy' | 'close'

/** What a thread is told at its start. */
export interface CheckpointThreadData {
  readonly path: string
  readonly idleMs: number
}

const program = programBeside(import.meta, 'checkpoint-thread')

/**
 * Has the write-ahead log of a file copied back into it when it has grown, by a thread: that is mostly
 * waiting for the disk, for up to half a second, and no request should wait as well.
 *
 * A log begins anew only at a write that finds all of it copied. While writes go on the thread never
 * gets quite that far; the few pages that are left are copied here, between two commits.
 */
export class Checkpoints {
  readonly #db: DatabaseSync
  readonly #threadData: CheckpointThreadData
  readonly #page_bytes: number
  readonly #pageCount: StatementSync
  readonly #look: StatementSync
  readonly #copy: StatementSync
  #isCopying = false
  #commitsUntilLook = commitsPerLook
  #thread: Worker | null = null
  #ended: Promise<unknown> = Promise.resolve()

  /**
   * @param db an open connection to this file
   * @param idleMs the thread ends when it was not needed for so long
   */
  constructor(db: DatabaseSync, path: string, idleMs = threadIdleMs) {
    this.#db = db
    this.#threadData = { path, idleMs }
    this.#page_bytes = Number(db.prepare('PRAGMA page_size').get()?.page_size)
    this.#pageCount = db.prepare('PRAGMA page_count')
    this.#look = db.prepare('PRAGMA wal_checkpoint(NOOP)')
    this.#copy = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    // Beyond this SQLite does it itself, at a commit: when the thread can't keep up, or others read on.
    this.#leaveToSqlite(2 * most_bytes)
  }

  /** To be called after each commit. */
  afterCommit(): void {
    if (this.#isCopying || --this.#commitsUntilLook > 0) return
    this.#commitsUntilLook = commitsPerLook
    if (this.#hasGrown()) this.#startCopying()
  }

  /** Waits for the thread, if there is one; to be called before the connection is closed. */
  async close(): Promise<void> {
    this.#thread?.ref()
    this.#thread?.postMessage('close' satisfies CheckpointMessage)
    await this.#ended
  }

  #hasGrown(): boolean {
    try {
      const { log } = this.#look.get() as unknown as LogState
      const log_bytes = log * this.#page_bytes
      if (log_bytes < least_bytes) return false
      const file_bytes = Number(this.#pageCount.get()?.page_count) * this.#page_bytes
      return log_bytes >= Math.min(file_bytes * partOfFile, most_bytes)
    } catch {
      // The commit is done, whatever is wrong with the look; the next one tells.
      return false
    }
  }

  #startCopying(): void {
    this.#isCopying = true
    this.#thread ??= this.#start()
    this.#thread.postMessage('copy' satisfies CheckpointMessage)
  }

  #start(): Worker {
    const thread = new Worker(program, { workerData: this.#threadData, env: {}, execArgv: [] })
    let hasFailed = false
    thread.on('message', (isCopied: boolean) => {
      this.#isCopying = false
      if (isCopied) this.#copyRest()
      else this.#commitsUntilLook = commitsPerRetry
    })
    thread.on('error', () => {
      hasFailed = true
      this.#leaveToSqlite(least_bytes)
    })
    this.#ended = new Promise((resolve) => thread.once('exit', resolve)).then(() => {
      this.#thread = null
      // One that failed would do so again: as this stays busy, no other is started.
      this.#isCopying = hasFailed
    })
    thread.unref()
    return thread
  }

  /** As others may write as well, some may be left once more: the next look tells. */
  #copyRest(): void {
    try {
      this.#copy.get()
    } catch {
      // What can't be copied now, as on a full disk, stays in the log, where it is safe.
    }
  }

  #leaveToSqlite(from_bytes: number): void {
    this.#db.exec(`PRAGMA wal_autocheckpoint = ${Math.floor(from_bytes / this.#page_bytes)}`)
  }
}
