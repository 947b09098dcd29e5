import { GatepassError } from '../../core/errors.ts'

/** Parameters of an Argon2id digest (RFC 9106 §3.1). */
export interface Argon2idParameters {
  readonly scheme: 'argon2id'
  readonly memoryKib: number
  readonly passes: number
  readonly parallelism: number
  readonly salt: Buffer
}

/** Parameters of a scrypt digest (RFC 7914 §2). N is 2 to the power of `log2Cost`. */
export interface ScryptParameters {
  readonly scheme: 'scrypt'
  readonly log2Cost: number
  readonly blockSize: number
  readonly parallelism: number
  readonly salt: Buffer
}

export interface BcryptParameters {
  readonly scheme: 'bcrypt'
  /** The prefix `$2b$12$` and the 22 characters of salt. */
  readonly settings: string
  /** The binary logarithm of the work: the `12` in the prefix. */
  readonly cost: number
}

export type HashParameters = Argon2idParameters | ScryptParameters | BcryptParameters

export type Argon2idCost = Pick<Argon2idParameters, 'memoryKib' | 'passes' | 'parallelism'>
export type ScryptCost = Pick<ScryptParameters, 'log2Cost' | 'blockSize' | 'parallelism'>

/*
 * A stored hash determines the cost of its verification, and hashes can be imported. These limits
 * keep one verification within some seconds and within the memory of a server.
 */
const maxMemoryKib = 1024 * 1024
const maxPasses = 64
/** Time grows with memory times passes. */
const maxArgon2idWorkKib = 4 * maxMemoryKib
const maxParallelism = 16
const maxScryptMemoryBytes = 256 * 1024 * 1024
const maxScryptBlockSize = 64
const bcryptCost = { min: 4, max: 16 }

/** Describes what is wrong with the cost of an Argon2id hash, or returns null. */
export function argon2idProblem({ memoryKib, passes, parallelism }: Argon2idCost): string | null {
  if (!isWithin(parallelism, 1, maxParallelism)) return `p must be 1 to ${maxParallelism}.`
  if (!isWithin(passes, 1, maxPasses)) return `t must be 1 to ${maxPasses}.`
  // At least 8 blocks of 1 KiB per lane (RFC 9106 §3.1).
  if (!isWithin(memoryKib, 8 * parallelism, maxMemoryKib)) {
    return `m must be 8 times p to ${maxMemoryKib} (KiB).`
  }
  if (memoryKib * passes > maxArgon2idWorkKib) {
    return `m times t must be at most ${maxArgon2idWorkKib} (KiB).`
  }
  return null
}

/** Describes what is wrong with the cost of a scrypt hash, or returns null. */
function scryptProblem({ log2Cost, blockSize, parallelism }: ScryptCost): string | null {
  if (!isWithin(parallelism, 1, maxParallelism)) return `p must be 1 to ${maxParallelism}.`
  if (!isWithin(blockSize, 1, maxScryptBlockSize)) return `r must be 1 to ${maxScryptBlockSize}.`
  // N must be below 2 to the power of 128 r / 8 (RFC 7914 §2).
  if (!isWithin(log2Cost, 1, 16 * blockSize - 1)) return 'ln must be 1 to 16 times r, less 1.'
  return 128 * blockSize * 2 ** log2Cost > maxScryptMemoryBytes ? 'It needs over 256 MiB.' : null
}

/** Describes what is wrong with the cost of a bcrypt hash, or returns null. */
function bcryptProblem({ cost }: Pick<BcryptParameters, 'cost'>): string | null {
  return isWithin(cost, bcryptCost.min, bcryptCost.max)
    ? null
    : `The cost of bcrypt must be ${bcryptCost.min} to ${bcryptCost.max}.`
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}

/** A parsed password hash: the parameters of its digest, and the digest. */
export interface PasswordHash<P extends HashParameters = HashParameters> {
  readonly parameters: P
  readonly digest: Buffer
}

const maxLength = 512
const saltBytes = { min: 8, max: 64 }
const digestBytes = { min: 16, max: 64 }

const argon2idForm =
  /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const scryptForm =
  /^\$scrypt\$ln=(\d{1,9}),r=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const bcryptForm = /^(\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/

/**
 * Parses a password hash: a PHC string of Argon2id or scrypt, or a bcrypt string.
 *
 * @throws `password_hash_invalid`; its detail says what is wrong and quotes nothing of the hash
 */
export function parsePasswordHash(text: string): PasswordHash {
  if (text.length > maxLength) throw invalid(`It is longer than ${maxLength} characters.`)
  if (text.startsWith('$argon2id$')) return parseArgon2id(text)
  if (text.startsWith('$scrypt$')) return parseScrypt(text)
  if (/^\$2[aby]\$/.test(text)) return parseBcrypt(text)
  throw invalid('The scheme must be argon2id, scrypt or bcrypt ($2a$, $2b$, $2y$).')
}

/** Formats an Argon2id hash as a PHC string, like the reference implementation. */
export function formatArgon2id({ parameters, digest }: PasswordHash<Argon2idParameters>): string {
  const cost = `m=${parameters.memoryKib},t=${parameters.passes},p=${parameters.parallelism}`
  return `$argon2id$v=19$${cost}$${toBase64(parameters.salt)}$${toBase64(digest)}`
}

function parseArgon2id(text: string): PasswordHash {
  const parts = argon2idForm.exec(text)
  if (parts === null) throw invalid('It is not $argon2id$v=19$m=…,t=…,p=…$salt$digest.')
  const [, m = '', t = '', p = '', salt = '', digest = ''] = parts
  const cost = { memoryKib: toNumber(m), passes: toNumber(t), parallelism: toNumber(p) }
  refuse(argon2idProblem(cost))
  return {
    parameters: { scheme: 'argon2id', ...cost, salt: fromBase64(salt, 'salt', saltBytes) },
    digest: fromBase64(digest, 'digest', digestBytes),
  }
}

function parseScrypt(text: string): PasswordHash {
  const parts = scryptForm.exec(text)
  if (parts === null) throw invalid('It is not $scrypt$ln=…,r=…,p=…$salt$digest.')
  const [, ln = '', r = '', p = '', salt = '', digest = ''] = parts
  const cost = { log2Cost: toNumber(ln), blockSize: toNumber(r), parallelism: toNumber(p) }
  refuse(scryptProblem(cost))
  return {
    parameters: { scheme: 'scrypt', ...cost, salt: fromBase64(salt, 'salt', saltBytes) },
    digest: fromBase64(digest, 'digest', digestBytes),
  }
}

function parseBcrypt(text: string): PasswordHash {
  const parts = bcryptForm.exec(text)
  if (parts === null) throw invalid('It is not a bcrypt hash of 60 characters.')
  const [, settings = '', cost = '', digest = ''] = parts
  const parameters = { scheme: 'bcrypt', settings, cost: Number(cost) } as const
  refuse(bcryptProblem(parameters))
  return { parameters, digest: fromBcryptBase64(digest) }
}

const base64Alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const bcryptAlphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * Decodes bcrypt's own base64. Ignores the spare bits at the end, like bcrypt: some implementations
 * set them, and their hashes must match.
 */
function fromBcryptBase64(text: string): Buffer {
  const digits = text.replace(/./g, (digit) => base64Alphabet[bcryptAlphabet.indexOf(digit)] ?? '')
  return Buffer.from(digits, 'base64')
}

function toBase64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}

function fromBase64(text: string, what: string, size: { min: number; max: number }): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (toBase64(bytes) !== text) throw invalid(`The ${what} is not well-formed base64.`)
  if (bytes.length < size.min || bytes.length > size.max) {
    throw invalid(`The ${what} must have ${size.min} to ${size.max} bytes.`)
  }
  return bytes
}

/** A number with a leading zero is not canonical. */
function toNumber(digits: string): number {
  return digits.startsWith('0') ? Number.NaN : Number(digits)
}

function refuse(problem: string | null): void {
  if (problem !== null) throw invalid(problem)
}

function invalid(detail: string): GatepassError {
  return new GatepassError('password_hash_invalid', { detail })
}
