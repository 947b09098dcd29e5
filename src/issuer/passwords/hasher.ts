import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { type Clock, systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { equalBytes } from '../../core/secrets.ts'
import { createDeriver, type Deriver } from './derive.ts'
import { Gate } from './gate.ts'
import type { HashJob } from './hash-process.ts'
import { formatArgon2id, type PasswordHash, parsePasswordHash } from './phc.ts'
import { type Argon2idCost, type Argon2idRecipe, argon2idProblem } from './recipe.ts'
import { passwordBytesMax } from './rules.ts'

export interface PasswordHasherOptions {
  /** Memory of one hash in KiB; 19 MiB, as OWASP recommends with 2 passes. */
  readonly memory_kib?: number
  /** Passes over that memory; 2. */
  readonly passes?: number
  /** Lanes; 1. */
  readonly parallelism?: number
  /** Hashes made at once; as many as there are cores. */
  readonly maxConcurrent?: number
  /** Hashes that wait; 256. Past that `overloaded` is thrown. */
  readonly maxQueued?: number
  /** How long a hash may wait; 2 s. `overloaded` is thrown for one that would wait longer. */
  readonly maxWaitMs?: number
  /** Measures how long a hash takes, to tell a refused caller when to try again. */
  readonly clock?: Clock
}

const saltBytes = 16
const digestBytes = 32
/** So many at most are hashed and answered together, where twice as many wait (see `Gate`). */
const togetherMax = 16

/** Makes and verifies password hashes, with a limit on how many at once (attack I6). */
export class PasswordHasher {
  readonly #cost: Argon2idCost
  readonly #deriver: Deriver
  readonly #gate: Gate<HashJob, Buffer>
  readonly #bcryptGate: Gate<HashJob, Buffer>
  /** The hash of no password: right form, random digest. Verifying it takes what a real one takes. */
  readonly #nothing: PasswordHash<Argon2idRecipe>

  /** @throws `config_invalid` when the cost is outside what a stored hash may have */
  constructor(options: PasswordHasherOptions = {}, deriver: Deriver = createDeriver()) {
    const { memory_kib = 19 * 1024, passes = 2, parallelism = 1 } = options
    const { maxConcurrent = availableParallelism(), maxQueued = 256, maxWaitMs = 2_000 } = options
    const { clock = systemClock } = options
    this.#cost = { memory_kib, passes, parallelism }
    const problem = argon2idProblem(this.#cost)
    if (problem !== null) {
      throw new GatepassError('config_invalid', { detail: `The cost of Argon2id: ${problem}` })
    }
    this.#deriver = deriver
    const derive = (jobs: readonly HashJob[]) => deriver.derive(jobs)
    this.#gate = new Gate({ maxConcurrent, maxQueued, maxWaitMs, togetherMax }, clock, derive)
    // bcrypt takes several times as long. Its hashes must not hold the places of everybody else.
    this.#bcryptGate = new Gate({ maxConcurrent: 1, maxQueued, maxWaitMs }, clock, derive)
    this.#nothing = { recipe: this.#newRecipe(), digest: randomBytes(digestBytes) }
  }

  /**
   * A new Argon2id hash as a PHC string. The password has passed `checkPassword`, or was verified.
   * @throws `overloaded`
   */
  async hash(password: string): Promise<string> {
    const recipe = this.#newRecipe()
    const digest = await this.#derive({ password: Buffer.from(password), recipe, digestBytes })
    return formatArgon2id({ recipe, digest })
  }

  /**
   * Whether the password is the one of a stored hash. One that could never have been chosen is
   * hashed all the same, so that the time does not tell; an imported hash may be of a short one.
   *
   * @throws `overloaded`; `internal_error` when the stored hash is of no known form
   */
  async verify(password: string, storedHash: string): Promise<boolean> {
    return this.#matches(password, readStored(storedHash))
  }

  /**
   * The work of `verify` for a name that has no account (attack I4). It equals that of an account
   * with the current cost: one whose imported hash is still bcrypt, scrypt or of another cost takes
   * its own time until its first login.
   *
   * @throws `overloaded`
   */
  async verifyNothing(password: string): Promise<false> {
    await this.#matches(password, this.#nothing)
    return false
  }

  /** Whether a hash is of an older scheme, or made with less memory or fewer passes than set. */
  needsRehash(storedHash: string): boolean {
    const { recipe } = readStored(storedHash)
    return (
      recipe.scheme !== 'argon2id' ||
      recipe.memory_kib < this.#cost.memory_kib ||
      recipe.passes < this.#cost.passes
    )
  }

  /** Ends the processes that hash. */
  close(): Promise<void> {
    return this.#deriver.close()
  }

  async #matches(password: string, stored: PasswordHash): Promise<boolean> {
    const bytes = Buffer.from(password)
    const digest = await this.#derive({
      password: bytes.subarray(0, passwordBytesMax),
      recipe: stored.recipe,
      digestBytes: stored.digest.length,
    })
    // What was cut off, or replaced in the encoding, was no part of the password that was set.
    const wasWhole = bytes.length <= passwordBytesMax && password.isWellFormed()
    return equalBytes(digest, stored.digest) && wasWhole
  }

  #derive(job: HashJob): Promise<Buffer> {
    const gate = job.recipe.scheme === 'bcrypt' ? this.#bcryptGate : this.#gate
    return gate.run(job)
  }

  #newRecipe(): Argon2idRecipe {
    return { scheme: 'argon2id', ...this.#cost, salt: randomBytes(saltBytes) }
  }
}

/** A stored hash that can't be read is our fault, not that of who is signing in. */
function readStored(storedHash: string): PasswordHash {
  try {
    return parsePasswordHash(storedHash)
  } catch (error) {
    throw new GatepassError('internal_error', { cause: error })
  }
}
