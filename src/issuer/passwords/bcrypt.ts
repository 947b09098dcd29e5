import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { GatepassError } from '../../core/errors.ts'

/** What the thread is asked: a password, and `$2b$12$` with the 22 characters of salt. */
export interface BcryptJob {
  readonly password: string
  readonly settings: string
}

interface Pending {
  readonly resolve: (hash: string) => void
  readonly reject: (reason: unknown) => void
}

/** The worker beside this file, be it the source or what was built from it. */
const workerUrl = new URL(`./bcrypt-worker${extname(import.meta.filename)}`, import.meta.url)

/**
 * bcrypt for imported hashes, in a thread of its own: it is written in JavaScript, and on the main
 * thread it would hold up every request for as long as a hash takes.
 *
 * The thread is started by the first job and keeps the process alive only while it has one.
 */
export class BcryptThread {
  #worker: Worker | null = null
  #pending: Pending[] = []

  /** The whole bcrypt hash of a password. */
  hash(job: BcryptJob): Promise<string> {
    const worker = this.#start()
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject })
      worker.ref()
      worker.postMessage(job)
    })
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#fail(new GatepassError('shutting_down'))
    await worker?.terminate()
  }

  #start(): Worker {
    if (this.#worker !== null) return this.#worker
    // Options of the process, such as a loader or --input-type, are not meant for this file.
    const worker = new Worker(workerUrl, { execArgv: [] })
    worker.on('message', (hash: string) => {
      this.#pending.shift()?.resolve(hash)
      if (this.#pending.length === 0) worker.unref()
    })
    worker.on('error', (error) => {
      if (this.#worker === worker) this.#fail(new GatepassError('internal_error', { cause: error }))
    })
    this.#worker = worker
    return worker
  }

  /** Gives up the thread and all it was asked; the next job starts another. */
  #fail(reason: GatepassError): void {
    const pending = this.#pending
    this.#pending = []
    this.#worker = null
    for (const { reject } of pending) reject(reason)
  }
}
