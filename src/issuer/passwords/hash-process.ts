import { argon2Sync, scryptSync } from 'node:crypto'
import { readSync, writeSync } from 'node:fs'
import { setPriority } from 'node:os'
import { hashSync } from 'bcryptjs'
import { fromFrame, toFrame } from './frames.ts'
import { fromBcryptBase64 } from './phc.ts'
import type { Argon2idRecipe, BcryptRecipe, Recipe, ScryptRecipe } from './recipe.ts'

/** What the process is asked: some of these, to do in turn. */
export interface HashJob {
  readonly password: Uint8Array
  readonly recipe: Recipe
  readonly digestBytes: number
}

/** What it answers to each, all in one; without a digest when the job could not be done. */
export interface HashAnswer {
  readonly digest?: Uint8Array
  readonly error?: string
}

/** How many characters of a bcrypt hash are its digest. */
const bcryptDigestLength = 31

function derive({ password, recipe, digestBytes }: HashJob): Uint8Array {
  if (recipe.scheme === 'argon2id') return deriveArgon2id(password, recipe, digestBytes)
  if (recipe.scheme === 'scrypt') return deriveScrypt(password, recipe, digestBytes)
  return deriveBcrypt(password, recipe)
}

function deriveArgon2id(password: Uint8Array, recipe: Argon2idRecipe, digestBytes: number) {
  return argon2Sync('argon2id', {
    message: password,
    nonce: recipe.salt,
    memory: recipe.memory_kib,
    passes: recipe.passes,
    parallelism: recipe.parallelism,
    tagLength: digestBytes,
  })
}

function deriveScrypt(password: Uint8Array, recipe: ScryptRecipe, digestBytes: number) {
  const { log2Cost, blockSize, parallelism, salt } = recipe
  const cost = 2 ** log2Cost
  return scryptSync(password, salt, digestBytes, {
    cost,
    blockSize,
    parallelization: parallelism,
    // Exactly what the algorithm takes: without it everything above 32 MiB is refused.
    maxmem: 128 * blockSize * (cost + parallelism + 2),
  })
}

function deriveBcrypt(password: Uint8Array, { settings }: BcryptRecipe) {
  const text = hashSync(Buffer.from(password).toString(), settings)
  return fromBcryptBase64(text.slice(-bcryptDigestLength))
}

function answer(job: HashJob): HashAnswer {
  try {
    return { digest: derive(job) }
  } catch (error) {
    return { error: String(error) }
  }
}

/*
 * Below whoever answers requests: hashing takes what the others leave, but where they leave nothing
 * still about a thirtieth. With less nobody signs in on a core that several busy processes share; with
 * more refreshes wait (docs/benchmarks.md).
 */
const niceness = 15

try {
  setPriority(0, niceness)
} catch {
  // A sandbox may forbid it; hashes come out the same.
}

// It ends with the process that it works for, however that ends; and not before, should a terminal
// interrupt both: logins under way are answered.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

const [standardInput, standardOutput] = [0, 1]
const chunk = Buffer.allocUnsafe(64 * 1024)

/** The next jobs, waited for; null when nobody is there any more to ask. */
function nextJobs(): HashJob[] | null {
  let received = Buffer.alloc(0)
  for (;;) {
    const length = readSync(standardInput, chunk)
    if (length === 0) return null
    received = Buffer.concat([received, chunk.subarray(0, length)])
    const jobs = fromFrame(received)
    if (jobs !== undefined) return jobs as HashJob[]
  }
}

/** How reading or writing fails when the other end is gone, with something unread or without. */
const isGone = (code: unknown) => code === 'EPIPE' || code === 'ECONNRESET'

/*
 * One job after the other and nothing between: what an event loop does for each, its messages and its
 * threads, would be a hundredth of a hash. Who asks waits for one answer before it asks again.
 */
try {
  for (let jobs = nextJobs(); jobs !== null; jobs = nextJobs()) {
    writeSync(standardOutput, toFrame(jobs.map(answer)))
  }
} catch (error) {
  if (!isGone((error as { code?: unknown }).code)) throw error
}
