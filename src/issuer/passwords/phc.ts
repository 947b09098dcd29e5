import { GatepassError } from '../../core/errors.ts'
import {
  type Argon2idRecipe,
  argon2idProblem,
  bcryptProblem,
  type Recipe,
  scryptProblem,
} from './recipe.ts'

/** A password hash taken apart: how its digest is made, and the digest. */
export interface PasswordHash<R extends Recipe = Recipe> {
  readonly recipe: R
  readonly digest: Buffer
}

const lengthMax = 512
const saltBytes = { min: 8, max: 64 }
const digestBytes = { min: 16, max: 64 }

const argon2idForm =
  /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const scryptForm =
  /^\$scrypt\$ln=(\d{1,9}),r=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const bcryptForm = /^(\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/

/**
 * Reads a password hash: a PHC string of Argon2id or scrypt, or what bcrypt writes.
 *
 * @throws `password_hash_invalid`, whose detail says what is wrong and holds nothing of the hash
 */
export function parsePasswordHash(text: string): PasswordHash {
  if (text.length > lengthMax) throw invalid(`It is longer than ${lengthMax} characters.`)
  if (text.startsWith('$argon2id$')) return parseArgon2id(text)
  if (text.startsWith('$scrypt$')) return parseScrypt(text)
  if (/^\$2[aby]\$/.test(text)) return parseBcrypt(text)
  throw invalid('Its scheme is none of argon2id, scrypt and bcrypt ($2a$, $2b$, $2y$).')
}

/** Writes an Argon2id hash as a PHC string, as the reference implementation does. */
export function formatArgon2id({ recipe, digest }: PasswordHash<Argon2idRecipe>): string {
  const cost = `m=${recipe.memory_kib},t=${recipe.passes},p=${recipe.parallelism}`
  return `$argon2id$v=19$${cost}$${toBase64(recipe.salt)}$${toBase64(digest)}`
}

function parseArgon2id(text: string): PasswordHash {
  const parts = argon2idForm.exec(text)
  if (parts === null) throw invalid('It is not $argon2id$v=19$m=…,t=…,p=…$salt$digest.')
  const [, m = '', t = '', p = '', salt = '', digest = ''] = parts
  const cost = { memory_kib: toNumber(m), passes: toNumber(t), parallelism: toNumber(p) }
  refuse(argon2idProblem(cost))
  return {
    recipe: { scheme: 'argon2id', ...cost, salt: fromBase64(salt, 'salt', saltBytes) },
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
    recipe: { scheme: 'scrypt', ...cost, salt: fromBase64(salt, 'salt', saltBytes) },
    digest: fromBase64(digest, 'digest', digestBytes),
  }
}

function parseBcrypt(text: string): PasswordHash {
  const parts = bcryptForm.exec(text)
  if (parts === null) throw invalid('It is not a bcrypt hash of 60 characters.')
  const [, settings = '', cost = '', digest = ''] = parts
  const recipe = { scheme: 'bcrypt', settings, cost: Number(cost) } as const
  refuse(bcryptProblem(recipe))
  return { recipe, digest: fromBcryptBase64(digest) }
}

const base64Alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const bcryptAlphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * Reads bcrypt's own base64. The spare bits at the end are dropped, as bcrypt itself does: some
 * implementations have left them set, and their hashes must still match.
 */
export function fromBcryptBase64(text: string): Buffer {
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

/** There is one way to write a number: with a leading zero it is none. */
function toNumber(digits: string): number {
  return digits.startsWith('0') ? Number.NaN : Number(digits)
}

function refuse(problem: string | null): void {
  if (problem !== null) throw invalid(problem)
}

function invalid(detail: string): GatepassError {
  return new GatepassError('password_hash_invalid', { detail })
}
