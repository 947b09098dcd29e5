import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { GatepassError } from '../../core/errors.ts'
import type { DeriveJob } from './derive-worker.ts'
import type { Recipe } from './recipe.ts'

/** Makes digests: the one slow step of everything here. */
export interface Deriver {
  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer>
  close(): Promise<void>
}

/** Derives off the main thread, as many at once as are asked for. */
export function createDeriver(): Deriver {
  return new ThreadDeriver()
}

/** The worker beside this file, be it the source or what was built from it. */
const workerUrl = new URL(`./derive-worker${extname(import.meta.filename)}`, import.meta.url)

/** A thread, and who waits for its digest. */
interface Thread {
  readonly worker: Worker
  job: PromiseWithResolvers<Buffer> | null
}

/**
 * Derives in threads of its own and not in Node's pool, whose four threads have signatures to make
 * and files to read: a login storm would keep every refresh waiting behind hashes. And one's own
 * threads can give way to the others (see the worker).
 *
 * A thread has one job at a time. It is started by the first job that finds none free, and keeps the
 * process alive only while it has one.
 */
class ThreadDeriver implements Deriver {
  readonly #threads = new Set<Thread>()
  readonly #free: Thread[] = []

  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer> {
    const thread = this.#free.pop() ?? this.#start()
    const job = Promise.withResolvers<Buffer>()
    thread.job = job
    thread.worker.ref()
    thread.worker.postMessage(jobOf(password, recipe, digestBytes))
    return job.promise
  }

  async close(): Promise<void> {
    const threads = [...this.#threads]
    this.#threads.clear()
    this.#free.length = 0
    for (const { job } of threads) job?.reject(new GatepassError('shutting_down'))
    await Promise.all(threads.map(({ worker }) => worker.terminate()))
  }

  #start(): Thread {
    // Options of the process, such as a loader or --input-type, are not meant for this file.
    const thread: Thread = { worker: new Worker(workerUrl, { execArgv: [] }), job: null }
    this.#threads.add(thread)
    thread.worker.on('message', (digest: Uint8Array) => {
      const { job } = thread
      // An answer from before the end of a thread that is no longer ours.
      if (!this.#threads.has(thread)) return
      thread.job = null
      thread.worker.unref()
      this.#free.push(thread)
      job?.resolve(Buffer.from(digest))
    })
    // It ends after an error, which its job, if it has one, is told of too.
    thread.worker.on('error', (cause) => {
      this.#threads.delete(thread)
      const at = this.#free.indexOf(thread)
      if (at >= 0) this.#free.splice(at, 1)
      thread.job?.reject(new GatepassError('internal_error', { cause }))
    })
    return thread
  }
}

/** Copies: a small Buffer is a piece of a large one, which would be sent whole. */
function jobOf(password: Buffer, recipe: Recipe, digestBytes: number): DeriveJob {
  const ownRecipe = 'salt' in recipe ? { ...recipe, salt: Buffer.from(recipe.salt) } : recipe
  return { password: Uint8Array.from(password), recipe: ownRecipe, digestBytes }
}
