import { argon2, type ScryptOptions, scrypt } from 'node:crypto'
import { setPriority } from 'node:os'
import { promisify } from 'node:util'
import { hash } from 'bcryptjs'
import { fromBcryptBase64 } from './phc.ts'
import type { Argon2idRecipe, BcryptRecipe, Recipe, ScryptRecipe } from './recipe.ts'

/** What the process is asked. */
export interface HashJob {
  readonly id: number
  readonly password: Uint8Array
  readonly recipe: Recipe
  readonly digestBytes: number
}

/** What it answers; without a digest when the job could not be done. */
export interface HashAnswer {
  readonly id: number
  readonly digest?: Uint8Array
  readonly error?: string
}

/** How many characters of a bcrypt hash are its digest. */
const bcryptDigestLength = 31

const argon2InPool = promisify(argon2)
const scryptInPool = promisify<Uint8Array, Uint8Array, number, ScryptOptions, Buffer>(scrypt)

function derive({ password, recipe, digestBytes }: HashJob): Promise<Uint8Array> {
  if (recipe.scheme === 'argon2id') return deriveArgon2id(password, recipe, digestBytes)
  if (recipe.scheme === 'scrypt') return deriveScrypt(password, recipe, digestBytes)
  return deriveBcrypt(password, recipe)
}

function deriveArgon2id(password: Uint8Array, recipe: Argon2idRecipe, digestBytes: number) {
  return argon2InPool('argon2id', {
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
  return scryptInPool(password, salt, digestBytes, {
    cost,
    blockSize,
    parallelization: parallelism,
    // Exactly what the algorithm takes: without it everything above 32 MiB is refused.
    maxmem: 128 * blockSize * (cost + parallelism + 2),
  })
}

/** On the one thread of JavaScript here, in slices of 100 ms at most. */
async function deriveBcrypt(password: Uint8Array, { settings }: BcryptRecipe) {
  const text = await hash(Buffer.from(password).toString(), settings)
  return fromBcryptBase64(text.slice(-bcryptDigestLength))
}

/*
 * Below whoever answers requests: hashing takes what the others leave, but where they leave nothing
 * still about a twentieth. With less nobody signs in on a core that several busy processes share; with
 * more refreshes wait (docs/benchmarks.md). The threads that hash are started later, and inherit it.
 */
const niceness = 13

try {
  setPriority(0, niceness)
} catch {
  // A sandbox may forbid it; hashes come out the same.
}

async function answer(job: HashJob): Promise<HashAnswer> {
  const { id } = job
  try {
    return { id, digest: await derive(job) }
  } catch (error) {
    return { id, error: String(error) }
  }
}

process.on('message', async (job: HashJob) => process.send?.(await answer(job)))
// It ends with the process that it works for, however that ends; and not before, should a terminal
// interrupt both: logins under way are answered.
process.on('disconnect', () => process.exit())
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
