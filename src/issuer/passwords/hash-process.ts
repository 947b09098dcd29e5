import { argon2Sync, scryptSync } from 'node:crypto'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { hashSync } from 'bcryptjs'
import { fromBcryptBase64 } from './phc.ts'
import type { Argon2idRecipe, BcryptRecipe, Recipe, ScryptRecipe } from './recipe.ts'

/** What a thread is asked; it answers with the digest. */
export interface DeriveJob {
  readonly password: Uint8Array
  readonly recipe: Recipe
  readonly digestBytes: number
}

/** How many characters of a bcrypt hash are its digest. */
const bcryptDigestLength = 31

function derive({ password, recipe, digestBytes }: DeriveJob): Uint8Array {
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
  const hash = hashSync(Buffer.from(password).toString(), settings)
  return fromBcryptBase64(hash.slice(-bcryptDigestLength))
}

/*
 * Below the thread that answers requests: hashing takes what the others leave, but where they leave
 * nothing still about a tenth. Only on Linux does a thread have a priority of its own (setpriority(2)).
 */
const niceness = 10

if (process.platform === 'linux') {
  try {
    setPriority(0, niceness)
  } catch {
    // A sandbox may forbid it; hashes come out the same.
  }
}

parentPort?.on('message', (job: DeriveJob) => parentPort?.postMessage(derive(job)))
