/** How an Argon2id digest is made (RFC 9106 §3.1). */
export interface Argon2idRecipe {
  readonly scheme: 'argon2id'
  readonly memory_kib: number
  readonly passes: number
  readonly parallelism: number
  readonly salt: Buffer
}

/** How a scrypt digest is made (RFC 7914 §2); N is two to the power of `log2Cost`. */
export interface ScryptRecipe {
  readonly scheme: 'scrypt'
  readonly log2Cost: number
  readonly blockSize: number
  readonly parallelism: number
  readonly salt: Buffer
}

/** How a bcrypt digest is made. */
export interface BcryptRecipe {
  readonly scheme: 'bcrypt'
  /** `$2b$12$` and the 22 characters of salt, as bcrypt writes them. */
  readonly settings: string
  /** The logarithm of the work, the `12` in there. */
  readonly cost: number
}

export type Recipe = Argon2idRecipe | ScryptRecipe | BcryptRecipe

export type Argon2idCost = Pick<Argon2idRecipe, 'memory_kib' | 'passes' | 'parallelism'>
export type ScryptCost = Pick<ScryptRecipe, 'log2Cost' | 'blockSize' | 'parallelism'>

/*
 * A hash says itself how much work its verification is, and an import brings hashes from elsewhere.
 * These limits hold one verification to some seconds and to memory that a server has.
 */
const memoryMax_kib = 1024 * 1024
const passesMax = 64
/** Memory times passes is what takes time: four passes over the most memory. */
const argon2idWorkMax_kib = 4 * memoryMax_kib
const parallelismMax = 16
const scryptMemoryMax_bytes = 256 * 1024 * 1024
const scryptBlockSizeMax = 64
const bcryptCost = { min: 4, max: 16 }

/** What is wrong with the cost of an Argon2id hash, or null when it is acceptable. */
export function argon2idProblem({ memory_kib, passes, parallelism }: Argon2idCost): string | null {
  if (!isWithin(parallelism, 1, parallelismMax)) return `p must be 1 to ${parallelismMax}.`
  if (!isWithin(passes, 1, passesMax)) return `t must be 1 to ${passesMax}.`
  // At least 8 blocks of 1 KiB a lane: RFC 9106 §3.1.
  if (!isWithin(memory_kib, 8 * parallelism, memoryMax_kib)) {
    return `m must be 8 times p to ${memoryMax_kib} (KiB).`
  }
  if (memory_kib * passes > argon2idWorkMax_kib) {
    return `m times t must be at most ${argon2idWorkMax_kib} (KiB).`
  }
  return null
}

/** Like `argon2idProblem`, for scrypt. */
export function scryptProblem({ log2Cost, blockSize, parallelism }: ScryptCost): string | null {
  if (!isWithin(parallelism, 1, parallelismMax)) return `p must be 1 to ${parallelismMax}.`
  if (!isWithin(blockSize, 1, scryptBlockSizeMax)) return `r must be 1 to ${scryptBlockSizeMax}.`
  // N must be below two to the power of 128 r / 8: RFC 7914 §2.
  if (!isWithin(log2Cost, 1, 16 * blockSize - 1)) return 'ln must be 1 to 16 times r, less 1.'
  return 128 * blockSize * 2 ** log2Cost > scryptMemoryMax_bytes ? 'It needs over 256 MiB.' : null
}

/** Like `argon2idProblem`, for bcrypt. */
export function bcryptProblem({ cost }: Pick<BcryptRecipe, 'cost'>): string | null {
  return isWithin(cost, bcryptCost.min, bcryptCost.max)
    ? null
    : `The cost of bcrypt must be ${bcryptCost.min} to ${bcryptCost.max}.`
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}
