import { argon2, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { BcryptThread } from './bcrypt.ts'
import { fromBcryptBase64 } from './phc.ts'
import type { Argon2idRecipe, Recipe, ScryptRecipe } from './recipe.ts'

/** Makes digests: the one slow step of everything here. */
export interface Deriver {
  derive(password: Buffer, recipe: Recipe, digestBytes: number): Promise<Buffer>
  close(): Promise<void>
}

const runArgon2 = promisify(argon2)
const runScrypt = promisify<Buffer, Buffer, number, object, Buffer>(scrypt)
/** How many characters of a bcrypt hash are its digest. */
const bcryptDigestLength = 31

/** Derives off the main thread: Argon2id and scrypt in Node's thread pool, bcrypt in a thread. */
export function createDeriver(): Deriver {
  const bcrypt = new BcryptThread()
  return {
    async derive(password, recipe, digestBytes) {
      if (recipe.scheme === 'argon2id') return deriveArgon2id(password, recipe, digestBytes)
      if (recipe.scheme === 'scrypt') return deriveScrypt(password, recipe, digestBytes)
      const job = { password: password.toString(), settings: recipe.settings }
      return fromBcryptBase64((await bcrypt.hash(job)).slice(-bcryptDigestLength))
    },
    close: () => bcrypt.close(),
  }
}

function deriveArgon2id(password: Buffer, recipe: Argon2idRecipe, digestBytes: number) {
  return runArgon2('argon2id', {
    message: password,
    nonce: recipe.salt,
    memory: recipe.memory_kib,
    passes: recipe.passes,
    parallelism: recipe.parallelism,
    tagLength: digestBytes,
  })
}

function deriveScrypt(password: Buffer, recipe: ScryptRecipe, digestBytes: number) {
  const { log2Cost, blockSize, parallelism } = recipe
  const cost = 2 ** log2Cost
  return runScrypt(password, recipe.salt, digestBytes, {
    cost,
    blockSize,
    parallelization: parallelism,
    // Exactly what the algorithm takes: without it everything above 32 MiB is refused.
    maxmem: 128 * blockSize * (cost + parallelism + 2),
  })
}
