import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../../core/errors.ts'
import { programBeside } from '../../core/program.ts'
import { fromFrame, toFrame } from './frames.ts'
import type { HashAnswer, HashJob } from './hash-process.ts'

/** Makes digests: the one slow step of everything here. */
export interface Deriver {
  /** Does all of these in turn, and beside what else is asked meanwhile. */
  derive(jobs: readonly HashJob[]): Promise<PromiseSettledResult<Buffer>[]>
  close(): Promise<void>
}

/** Derives outside of this process. */
export function createDeriver(): Deriver {
  return new HashProcesses()
}

/** As many processes as there were calls at once; whoever calls bounds those. */
class HashProcesses implements Deriver {
  readonly #all = new Set<HashProcess>()
  readonly #idle = new Set<HashProcess>()

  async derive(jobs: readonly HashJob[]): Promise<PromiseSettledResult<Buffer>[]> {
    const [process = this.#start()] = this.#idle
    this.#idle.delete(process)
    const answers = await process.ask(jobs)
    if (this.#all.has(process)) this.#idle.add(process)
    return answers.map(toResult)
  }

  async close(): Promise<void> {
    const reason = new GatepassError('shutting_down')
    await Promise.all(Array.from(this.#all, (process) => process.close(reason)))
  }

  #start(): HashProcess {
    const process = new HashProcess(() => {
      this.#all.delete(process)
      this.#idle.delete(process)
    })
    this.#all.add(process)
    return process
  }
}

function toResult({ digest, error }: HashAnswer): PromiseSettledResult<Buffer> {
  // A copy: it arrives as a part of all that was read.
  if (digest !== undefined) return { status: 'fulfilled', value: Buffer.from(digest) }
  return {
    status: 'rejected',
    reason: new GatepassError('internal_error', { cause: new Error(error) }),
  }
}

const program = programBeside(import.meta, 'hash-process')

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
 * A process of its own that hashes. It keeps none of the threads of Node's pool here, which have
 * signatures to make and files to read; it can give way to others, and have an allocator that suits it.
 * Of our environment, in which secrets may be, it is told nothing.
 *
 * It keeps this process alive only while there is a job.
 */
class HashProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #onEnd: () => void
  #answering: PromiseWithResolvers<readonly HashAnswer[]> | null = null
  #received = Buffer.alloc(0)

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
    this.#child = spawn(process.execPath, [fileURLToPath(program)], {
      env: { GLIBC_TUNABLES: allocator },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    // Whichever of these is first: what is written to a process that has ended is an error too.
    const lost = (cause: unknown) => this.#end(new GatepassError('internal_error', { cause }))
    this.#child.on('error', lost)
    this.#child.on('exit', (code, signal) => lost(new Error(`hashing ended by ${signal ?? code}`)))
    this.#child.stdin.on('error', lost)
    this.#child.stdout.on('error', lost)
    this.#child.stdout.on('data', (bytes: Buffer) => this.#receive(bytes))
    this.#hold(false)
  }

  /** @throws `internal_error` when it ends before it has answered */
  ask(jobs: readonly HashJob[]): Promise<readonly HashAnswer[]> {
    const answering = Promise.withResolvers<readonly HashAnswer[]>()
    this.#answering = answering
    this.#hold(true)
    this.#child.stdin.write(toFrame(jobs))
    return answering.promise
  }

  async close(reason: GatepassError): Promise<void> {
    this.#child.ref()
    if (this.#end(reason)) await once(this.#child, 'exit')
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    const answers = fromFrame(this.#received)
    if (answers === undefined) return
    this.#received = Buffer.alloc(0)
    this.#hold(false)
    this.#answering?.resolve(answers as HashAnswer[])
    this.#answering = null
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
