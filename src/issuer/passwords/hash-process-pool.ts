import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../../core/errors.ts'
import { programBeside } from '../../core/program.ts'
import type { HashJob, HashReply } from './hash-process.ts'

/** Derives password digests. */
export interface Deriver {
  /** Runs a batch of jobs one after the other. Batches of other calls run in parallel. */
  derive(jobs: readonly HashJob[]): Promise<PromiseSettledResult<Buffer>[]>
  close(): Promise<void>
}

/**
 * Derives digests in child processes, one per concurrent call; the caller limits the concurrency.
 *
 * A process leaves Node's thread pool to signatures and file access, runs at a low priority, and has
 * an allocator that suits it. It inherits no environment variable, so it sees no secret.
 */
export class HashProcessPool implements Deriver {
  readonly #all = new Set<HashProcess>()
  readonly #idle = new Set<HashProcess>()

  async derive(jobs: readonly HashJob[]): Promise<PromiseSettledResult<Buffer>[]> {
    const [process = this.#start()] = this.#idle
    this.#idle.delete(process)
    const replies = await process.request(jobs)
    if (this.#all.has(process)) this.#idle.add(process)
    return replies.map(toResult)
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

function toResult({ digest, error }: HashReply): PromiseSettledResult<Buffer> {
  if (digest !== undefined) return { status: 'fulfilled', value: Buffer.from(digest) }
  const cause = new Error(error)
  return { status: 'rejected', reason: new GatepassError('internal_error', { cause }) }
}

const program = fileURLToPath(programBeside(import.meta, 'hash-process'))

/** Tells glibc to keep the 19 MiB of a hash in the process, in huge pages. */
const allocatorSettings = [
  'glibc.malloc.mmap_threshold=1073741824',
  'glibc.malloc.trim_threshold=1073741824',
  'glibc.malloc.hugetlb=1',
].join(':')

/** A child process that hashes. It keeps its parent alive only while it has a job. */
class HashProcess {
  readonly #child: ChildProcess
  readonly #onEnd: () => void
  #pending: PromiseWithResolvers<readonly HashReply[]> | null = null

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
    this.#child = fork(program, {
      env: { GLIBC_TUNABLES: allocatorSettings },
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const fail = (cause: unknown) => this.#end(new GatepassError('internal_error', { cause }))
    this.#child.on('error', fail)
    this.#child.on('exit', (code, signal) =>
      fail(new Error(`the hashing process ended by ${signal ?? code}`)),
    )
    this.#child.on('message', (replies: HashReply[]) => {
      this.#unref()
      this.#pending?.resolve(replies)
      this.#pending = null
    })
    this.#unref()
  }

  /** @throws `internal_error` if the process ends before it replies */
  request(jobs: readonly HashJob[]): Promise<readonly HashReply[]> {
    const pending = Promise.withResolvers<readonly HashReply[]>()
    this.#pending = pending
    this.#child.ref()
    this.#child.channel?.ref()
    // An error is emitted as an event only without a callback.
    this.#child.send([...jobs])
    return pending.promise
  }

  async close(reason: GatepassError): Promise<void> {
    this.#child.ref()
    if (this.#end(reason)) await once(this.#child, 'exit')
  }

  /** Returns false if the process had already ended. */
  #end(reason: GatepassError): boolean {
    this.#onEnd()
    this.#pending?.reject(reason)
    this.#pending = null
    return this.#child.kill('SIGKILL')
  }

  #unref(): void {
    this.#child.unref()
    this.#child.channel?.unref()
  }
}
