import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { extname } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../../core/errors.ts'
import { fromFrame, toFrame } from './frames.ts'
import type { HashAnswer, HashJob } from './hash-process.ts'
import type { Recipe } from './recipe.ts'

/** Makes digests: the one slow step of everything here. */
export interface Deriver {
  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer>
  close(): Promise<void>
}

/**
 * Derives outside of this process.
 * @param maxConcurrent as many at once, and beside them one by bcrypt, which takes several times as long
 */
export function createDeriver(maxConcurrent: number): Deriver {
  const [quick, slow] = [new HashProcesses(maxConcurrent), new HashProcesses(1)]
  return {
    derive(password, recipe, digestBytes) {
      const processes = recipe.scheme === 'bcrypt' ? slow : quick
      return processes.derive({ password, recipe, digestBytes })
    },
    async close() {
      await Promise.all([quick.close(), slow.close()])
    },
  }
}

interface WaitingJob extends PromiseWithResolvers<Buffer> {
  readonly job: HashJob
}

/** As many processes as there may be jobs at once, each started when it is first needed. */
class HashProcesses {
  readonly #max: number
  readonly #all = new Set<HashProcess>()
  readonly #idle: HashProcess[] = []
  #waiting: WaitingJob[] = []

  constructor(max: number) {
    this.#max = max
  }

  derive(job: HashJob): Promise<Buffer> {
    const answer = Promise.withResolvers<Buffer>()
    this.#waiting.push({ job, ...answer })
    this.#goOn()
    return answer.promise
  }

  async close(): Promise<void> {
    const reason = new GatepassError('shutting_down')
    for (const { reject } of this.#waiting) reject(reason)
    this.#waiting = []
    await Promise.all(Array.from(this.#all, (process) => process.close(reason)))
  }

  #goOn(): void {
    while (this.#waiting.length > 0) {
      const process = this.#idle.pop() ?? this.#start()
      const next = process && this.#waiting.shift()
      if (!next) return
      const done = process.derive(next.job).finally(() => {
        if (this.#all.has(process)) this.#idle.push(process)
        this.#goOn()
      })
      done.then(next.resolve, next.reject)
    }
  }

  #start(): HashProcess | undefined {
    if (this.#all.size === this.#max) return undefined
    const process = new HashProcess(() => {
      this.#all.delete(process)
      const at = this.#idle.indexOf(process)
      if (at >= 0) this.#idle.splice(at, 1)
    })
    this.#all.add(process)
    return process
  }
}

/** The program beside this file, be it the source or what was built from it. */
const program = new URL(`./hash-process${extname(import.meta.filename)}`, import.meta.url)

/*
 * How the allocator of glibc is set up, for what takes and returns 19 MiB at each hash: they stay with
 * the process, in large pages. Other allocators don't look at it.
 */
const allocator = [
  'glibc.malloc.mmap_threshold=1073741824',
  'glibc.malloc.trim_threshold=1073741824',
  'glibc.malloc.hugetlb=1',
].join(':')

/**
 * A process of its own that hashes, one job at a time. It keeps none of the threads of Node's pool
 * here, which have signatures to make and files to read; it can give way to others, and have an
 * allocator that suits it. Of our environment, in which secrets may be, it is told nothing.
 *
 * It keeps this process alive only while there is a job.
 */
class HashProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #onEnd: () => void
  #answering: PromiseWithResolvers<Buffer> | null = null
  #received = Buffer.alloc(0)

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
    this.#child = spawn(process.execPath, [fileURLToPath(program)], {
      env: { GLIBC_TUNABLES: allocator },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child.stdout.on('data', (bytes: Buffer) => this.#receive(bytes))
    // Whichever of these is first: what is written to a process that has ended is an error too.
    const lost = (cause: unknown) => this.#end(new GatepassError('internal_error', { cause }))
    this.#child.on('error', lost)
    this.#child.stdin.on('error', lost)
    this.#child.stdout.on('error', lost)
    this.#child.on('exit', (code, signal) => lost(new Error(`hashing ended by ${signal ?? code}`)))
    this.#hold(false)
  }

  derive(job: HashJob): Promise<Buffer> {
    const answering = Promise.withResolvers<Buffer>()
    this.#answering = answering
    this.#hold(true)
    this.#child.stdin.write(toFrame(job))
    return answering.promise
  }

  async close(reason: GatepassError): Promise<void> {
    this.#child.ref()
    if (this.#end(reason)) await once(this.#child, 'exit')
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    const answer = fromFrame(this.#received) as HashAnswer | undefined
    if (answer === undefined) return
    this.#received = Buffer.alloc(0)
    const { digest, error } = answer
    const answering = this.#answering
    this.#answering = null
    this.#hold(false)
    if (digest !== undefined) answering?.resolve(Buffer.from(digest))
    else answering?.reject(new GatepassError('internal_error', { cause: new Error(error) }))
  }

  /** Whether there was anything to end. */
  #end(reason: GatepassError): boolean {
    this.#onEnd()
    this.#answering?.reject(reason)
    this.#answering = null
    return this.#child.kill('SIGKILL')
  }

  #hold(isHeld: boolean): void {
    // Both are sockets, whatever their types say.
    for (const part of [this.#child, this.#child.stdin as Socket, this.#child.stdout as Socket]) {
      if (isHeld) part.ref()
      else part.unref()
    }
  }
}
