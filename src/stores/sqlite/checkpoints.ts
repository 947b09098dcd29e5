import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { programBeside } from '../../core/files.ts'

/** A checkpoint starts at this size: in a smaller WAL, fewer writes share the copy of a page. */
const startBytes = 32 * 1024 ** 2
/** At this size commits wait for the checkpoint. */
const waitBytes = 64 * 1024 ** 2
/** SQLite cuts the WAL to this size at a restart, in case a long read has made it larger. */
const maxBytes = 128 * 1024 ** 2
/** Rows changed between measurements. SQLite before 3.51 copies the WAL to measure it. */
const changesPerMeasurement = 256
/** The pause after a checkpoint that a long read has blocked, or whose thread has failed. */
const retryMs = 1_000

/** The row that `PRAGMA wal_checkpoint` returns. */
export interface CheckpointResult {
  /** 1 if another connection runs a checkpoint, or a restart could not get its locks. */
  readonly busy: number
  /** Pages in the WAL. */
  readonly log: number
  /** Pages of the WAL that are in the database. */
  readonly checkpointed: number
}

export interface CheckpointThreadData {
  readonly path: string
  readonly startPages: number
}

/**
 * Keeps the write-ahead log (WAL) of a database below 128 MiB by checkpoints on a worker thread.
 *
 * A checkpoint copies the WAL into the database and flushes it, which takes up to a second on a busy
 * disk. A thread takes 20 MiB of memory, so it ends after each checkpoint.
 */
export class Checkpoints {
  readonly #threadData: CheckpointThreadData
  readonly #waitPages: number
  readonly #measure: StatementSync
  readonly #restart: StatementSync
  readonly #countChanges: StatementSync
  /** The rows that this connection had changed at the last measurement. */
  #measuredChanges: number
  #retryAtMs = 0
  #thread: Worker | null = null

  /** @param db an open connection to the file at `path` */
  constructor(db: DatabaseSync, path: string) {
    const pageBytes = Number(db.prepare('PRAGMA page_size').get()?.page_size)
    const startPages = startBytes / pageBytes
    this.#threadData = { path, startPages }
    this.#waitPages = waitBytes / pageBytes
    this.#measure = db.prepare('PRAGMA wal_checkpoint(NOOP)')
    this.#restart = db.prepare('PRAGMA wal_checkpoint(RESTART)')
    this.#countChanges = db.prepare('SELECT total_changes() AS changes')
    this.#measuredChanges = this.#changes()
    db.exec(`PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = ${maxBytes}`)
  }

  /** True while the next commit should wait for the running checkpoint. */
  get isBehind(): boolean {
    return this.#thread !== null && this.#walPages() >= this.#waitPages
  }

  /** Starts a checkpoint if the WAL has grown enough. Call it after each commit. */
  afterCommit(): void {
    if (this.#thread !== null) return
    const changes = this.#changes()
    if (changes - this.#measuredChanges < changesPerMeasurement) return
    this.#measuredChanges = changes
    if (performance.now() < this.#retryAtMs) return
    if (this.#walPages() >= this.#threadData.startPages) this.#startThread()
  }

  /** Stops the thread. Call it before the connection closes. */
  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #startThread(): void {
    const options = { workerData: this.#threadData, env: {}, execArgv: [] }
    try {
      // Throws in a bundle of CommonJS, which does not know where it is.
      const program = programBeside(import.meta, 'checkpoint-thread')
      const thread = new Worker(program, options)
      thread.once('error', () => this.#checkpointHere())
      thread.once('exit', (code) => {
        this.#thread = null
        if (code !== 0) this.#retryAtMs = performance.now() + retryMs
      })
      thread.unref()
      this.#thread = thread
    } catch {
      this.#checkpointHere()
    }
  }

  /** Replaces a thread that does not start. */
  #checkpointHere(): void {
    try {
      this.#restart.get()
    } catch {
      // For example, the disk is full. The WAL keeps everything, and later commits try again.
    }
  }

  #changes(): number {
    return Number(this.#countChanges.get()?.changes)
  }

  #walPages(): number {
    try {
      return (this.#measure.get() as unknown as CheckpointResult).log
    } catch {
      // The commit has succeeded. If the file has a problem, the next commit reports it.
      return 0
    }
  }
}
