import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { BoundedQueue } from '../../core/bounded-queue.ts'
import { GatepassError } from '../../core/errors.ts'
import { programBeside } from '../../core/files.ts'
import { equalBytes } from '../../core/secrets.ts'
import type { HashJob, HashReply } from './hash-process.ts'
import {
  type Argon2idCost,
  type Argon2idParameters,
  argon2idProblem,
  formatArgon2id,
  type PasswordHash,
  parsePasswordHash,
} from './password-hash.ts'

/** The cost of a new hash, and limits. */
export interface PasswordHasherOptions extends Argon2idCost {
  /** Hashes computed at the same time. */
  readonly maxConcurrent: number
  /** Hashes that may wait. */
  readonly maxQueued: number
  /** Longest wait of a hash in milliseconds. */
  readonly maxWaitMs: number
}

const minPasswordBytes = 8
const maxPasswordBytes = 1024

/**
 * Checks that a password may be chosen: 8 to 1,024 bytes of UTF-8, any characters.
 *
 * A password is neither trimmed nor normalized. Imported hashes cover the bytes as typed, and a second
 * attempt with a normalized form would take twice as long, which reveals that the account exists.
 *
 * @throws `password_invalid`
 */
export function checkPassword(password: string): void {
  if (!password.isWellFormed()) {
    throw new GatepassError('password_invalid', { detail: 'The password is not valid Unicode.' })
  }
  const bytes = Buffer.byteLength(password)
  if (bytes < minPasswordBytes || bytes > maxPasswordBytes) {
    throw new GatepassError('password_invalid', {
      detail: `The password must have ${minPasswordBytes} to ${maxPasswordBytes} bytes.`,
    })
  }
}

/** bcrypt ignores further bytes. */
const maxBcryptBytes = 72
const saltBytes = 16
const digestBytes = 32
const maxBatch = 16

/** Creates and verifies password hashes, with limits on concurrency and queue length (attack I6). */
export class PasswordHasher {
  readonly #cost: Argon2idCost
  readonly #deriver: Deriver
  readonly #queue: BoundedQueue<HashJob, Buffer>
  readonly #bcryptQueue: BoundedQueue<HashJob, Buffer>
  /** A hash that no password matches. Verifying it takes as long as verifying a real hash. */
  readonly #decoy: PasswordHash<Argon2idParameters>

  /** @throws `config_invalid` if the cost exceeds the limits of a stored hash */
  constructor(options: PasswordHasherOptions, deriver: Deriver = new HashProcessPool()) {
    const { memoryKib, passes, parallelism, maxConcurrent, maxQueued, maxWaitMs } = options
    this.#cost = { memoryKib, passes, parallelism }
    const problem = argon2idProblem(this.#cost)
    if (problem !== null) {
      throw new GatepassError('config_invalid', { detail: `The cost of Argon2id: ${problem}` })
    }
    this.#deriver = deriver
    const derive = (jobs: readonly HashJob[]) => deriver.derive(jobs)
    const limits = { maxConcurrent, maxQueued, maxWaitMs, maxBatch }
    this.#queue = new BoundedQueue(limits, derive)
    // bcrypt takes several times as long. A queue of its own keeps it from delaying other logins.
    const bcryptLimits = { maxConcurrent: 1, maxQueued, maxWaitMs }
    this.#bcryptQueue = new BoundedQueue(bcryptLimits, derive)
    this.#decoy = { parameters: this.#newParameters(), digest: randomBytes(digestBytes) }
  }

  /**
   * Hashes a password with Argon2id and returns a PHC string. The caller has checked the password.
   * @throws `overloaded`
   */
  async hash(password: string): Promise<string> {
    const parameters = this.#newParameters()
    const digest = await this.#derive({ password: Buffer.from(password), parameters, digestBytes })
    return formatArgon2id({ parameters, digest })
  }

  /**
   * Tells whether a password matches a stored hash. Also hashes a password that `checkPassword`
   * refuses: the time must reveal nothing, and the imported hash of a short password must match.
   *
   * @throws `overloaded`; `password_hash_invalid` if the stored hash cannot be parsed
   */
  async verify(password: string, storedHash: string): Promise<boolean> {
    return this.#matches(password, parsePasswordHash(storedHash))
  }

  /**
   * Does the work of `verify` for a name without an account (attack I4). The time equals that of an
   * account whose hash has the current cost. An imported hash has its own time until its first login.
   *
   * @throws `overloaded`
   */
  async verifyDecoy(password: string): Promise<void> {
    await this.#matches(password, this.#decoy)
  }

  /**
   * Tells whether a hash has another scheme, less memory or fewer passes than configured, and the
   * password that matched it can replace it. The end of a long password, which bcrypt ignores, may be wrong.
   */
  needsRehash(storedHash: string, password: string): boolean {
    const { parameters } = parsePasswordHash(storedHash)
    if (parameters.scheme === 'bcrypt') return Buffer.byteLength(password) <= maxBcryptBytes
    return (
      parameters.scheme !== 'argon2id' ||
      parameters.memoryKib < this.#cost.memoryKib ||
      parameters.passes < this.#cost.passes
    )
  }

  /** Ends the hashing processes. */
  close(): Promise<void> {
    return this.#deriver.close()
  }

  async #matches(password: string, stored: PasswordHash): Promise<boolean> {
    const bytes = Buffer.from(password)
    const digest = await this.#derive({
      password: bytes.subarray(0, maxPasswordBytes),
      parameters: stored.parameters,
      digestBytes: stored.digest.length,
    })
    // The bytes that were hashed are not the whole password if it is too long or not valid Unicode.
    const wasWhole = bytes.length <= maxPasswordBytes && password.isWellFormed()
    return equalBytes(digest, stored.digest) && wasWhole
  }

  #derive(job: HashJob): Promise<Buffer> {
    const queue = job.parameters.scheme === 'bcrypt' ? this.#bcryptQueue : this.#queue
    return queue.run(job)
  }

  #newParameters(): Argon2idParameters {
    return { scheme: 'argon2id', ...this.#cost, salt: randomBytes(saltBytes) }
  }
}

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

  /** @throws `overloaded` if the machine cannot start a process: Node throws some errors of a start */
  #start(): HashProcess {
    try {
      const process = new HashProcess(() => {
        this.#all.delete(process)
        this.#idle.delete(process)
      })
      this.#all.add(process)
      return process
    } catch (cause) {
      throw lostProcess(cause)
    }
  }
}

function toResult(reply: HashReply): PromiseSettledResult<Buffer> {
  if (typeof reply !== 'string') return { status: 'fulfilled', value: Buffer.from(reply) }
  const cause = new Error(reply)
  return { status: 'rejected', reason: new GatepassError('internal_error', { cause }) }
}

const program = fileURLToPath(programBeside(import.meta, 'hash-process'))

/**
 * Tells glibc to keep the memory of a usual hash in the process, in huge pages. Memory of 64 MiB or
 * more is returned after the hash: an imported hash may take 1 GiB.
 */
const allocatorSettings = [
  'glibc.malloc.mmap_threshold=67108864',
  'glibc.malloc.trim_threshold=1073741824',
  'glibc.malloc.hugetlb=1',
].join(':')

/**
 * Longest time of a batch. The costliest hash that is accepted takes half a minute, and ten times as long at
 * the low priority of a hashing process on a busy machine.
 */
const maxBatchMs = 300_000

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
    this.#child.on('error', (error) => this.#fail(error))
    this.#child.on('exit', (code, signal) =>
      this.#fail(new Error(`the hashing process ended by ${signal ?? code}`)),
    )
    this.#child.on('message', (replies: HashReply[]) => {
      this.#unref()
      this.#pending?.resolve(replies)
      this.#pending = null
    })
    this.#unref()
  }

  /** @throws `overloaded` if the process ends before it replies, or hangs */
  request(jobs: readonly HashJob[]): Promise<readonly HashReply[]> {
    const pending = Promise.withResolvers<readonly HashReply[]>()
    this.#pending = pending
    this.#child.ref()
    this.#child.channel?.ref()
    // A process that was not started has no channel; its error event follows. An error of `send` is
    // emitted as an event only without a callback.
    if (this.#child.connected) this.#child.send([...jobs])
    const hangs = () => this.#fail(new Error('the hashing process does not respond'))
    const deadline = setTimeout(hangs, maxBatchMs)
    return pending.promise.finally(() => clearTimeout(deadline))
  }

  async close(reason: GatepassError): Promise<void> {
    this.#child.ref()
    if (this.#end(reason)) await once(this.#child, 'exit')
  }

  #fail(cause: Error): void {
    this.#end(lostProcess(cause))
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

/** A process ends early, or does not start, if the machine lacks memory. The next attempt starts another. */
function lostProcess(cause: unknown): GatepassError {
  const detail = 'The process that computes the password hash has ended. Try again.'
  return new GatepassError('overloaded', { detail, cause, retryAfterSeconds: 1 })
}
