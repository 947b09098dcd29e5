import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { GatepassError } from '../../core/errors.ts'
import type { HashAnswer, HashJob } from './hash-process.ts'
import type { Recipe } from './recipe.ts'

/** Makes digests: the one slow step of everything here. */
export interface Deriver {
  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer>
  close(): Promise<void>
}

/**
 * Derives outside of this process.
 * @param threads as many at once
 */
export function createDeriver(threads: number): Deriver {
  return new ProcessDeriver(threads)
}

/** The program beside this file, be it the source or what was built from it. */
const program = new URL(`./hash-process${extname(import.meta.filename)}`, import.meta.url)

/*
 * How the allocator of glibc is set up, for what takes and returns 19 MiB at each hash. A thread has a
 * heap of 64 MiB by default; as soon as small blocks lie scattered over it, each hash is given a new
 * one, whose every page is then brought in anew: half as long again as the hash itself. Here all
 * threads share one heap that stays, in large pages. Other allocators don't look at it.
 */
const allocator = [
  'glibc.malloc.arena_max=1',
  'glibc.malloc.mmap_threshold=1073741824',
  'glibc.malloc.trim_threshold=1073741824',
  'glibc.malloc.hugetlb=1',
].join(':')

/**
 * Derives in a process of its own. Hashes keep none of the threads of Node's pool here, which have
 * signatures to make and files to read, and a process can give way to others and have an allocator
 * that suits it. Of our environment, in which secrets may be, it is told nothing.
 *
 * It is started by the first job, and keeps this process alive only while there is one.
 */
class HashProcess {
  readonly #threads: number
  readonly #jobs = new Map<number, PromiseWithResolvers<Buffer>>()
  #child: ChildProcess | null = null
  #lastId = 0

  constructor(threads: number) {
    this.#threads = threads
  }

  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer> {
    this.#child ??= this.#start()
    const id = ++this.#lastId
    const job = Promise.withResolvers<Buffer>()
    this.#jobs.set(id, job)
    if (this.#jobs.size === 1) this.#hold(this.#child)
    this.#child.send({ id, password, recipe, digestBytes } satisfies HashJob)
    return job.promise
  }

  async close(): Promise<void> {
    const child = this.#child
    this.#end(new GatepassError('shutting_down'))
    if (child === null) return
    child.ref()
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  #start(): ChildProcess {
    const child = fork(program, {
      // Options of this process, such as a loader or --input-type, are not meant for that one.
      execArgv: [],
      env: { GLIBC_TUNABLES: allocator, UV_THREADPOOL_SIZE: String(this.#threads) },
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    child.on('message', (answer: HashAnswer) => this.#settle(child, answer))
    // Sending to one that has ended is an error too; its end is told once.
    const lost = (cause: unknown) => {
      if (child === this.#child) this.#end(new GatepassError('internal_error', { cause }))
    }
    child.on('error', lost)
    child.on('exit', (code, signal) => lost(new Error(`hashing ended by ${signal ?? code}`)))
    this.#release(child)
    return child
  }

  #settle(child: ChildProcess, { id, digest, error }: HashAnswer): void {
    const job = this.#jobs.get(id)
    // An answer from before the end of a process that is no longer ours.
    if (child !== this.#child || job === undefined) return
    this.#jobs.delete(id)
    if (this.#jobs.size === 0) this.#release(child)
    if (digest !== undefined) job.resolve(Buffer.from(digest))
    else job.reject(new GatepassError('internal_error', { cause: new Error(error) }))
  }

  /** Gives the process up: the next job starts another. */
  #end(reason: GatepassError): void {
    this.#child = null
    for (const job of this.#jobs.values()) job.reject(reason)
    this.#jobs.clear()
  }

  #hold(child: ChildProcess): void {
    child.ref()
    child.channel?.ref()
  }

  #release(child: ChildProcess): void {
    child.unref()
    child.channel?.unref()
  }
}

/** One process for what has threads of its own there, and one for bcrypt, which would hold those up. */
class ProcessDeriver implements Deriver {
  readonly #threaded: HashProcess
  readonly #bcrypt = new HashProcess(1)

  constructor(threads: number) {
    this.#threaded = new HashProcess(threads)
  }

  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer> {
    const process = recipe.scheme === 'bcrypt' ? this.#bcrypt : this.#threaded
    return process.derive(password, recipe, digestBytes)
  }

  async close(): Promise<void> {
    await Promise.all([this.#threaded.close(), this.#bcrypt.close()])
  }
}
