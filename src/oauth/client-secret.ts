import { randomBytes } from 'node:crypto'
import { digest, equalBytes } from '../core/secrets.ts'

const secretPattern = /^gps_[\w-]{43}$/
const hashPattern = /^sha256\.[\w-]{43}$/

export interface ClientSecret {
  /** For the client: 256 random bits. */
  readonly secret: string
  /** For `secret_hashes` of the client in the settings. */
  readonly hash: string
}

/** Makes a secret of a client. */
export function createClientSecret(): ClientSecret {
  const secret = `gps_${randomBytes(32).toString('base64url')}`
  return { secret, hash: `sha256.${digest(secret).toString('base64url')}` }
}

export function isSecretHash(text: string): boolean {
  return hashPattern.test(text)
}

/** Stands for the hashes of a client that has none. Nobody knows its secret. */
const decoys: readonly string[] = [createClientSecret().hash]

/**
 * Tells whether a secret is one of those that were hashed, in a time that depends on neither.
 *
 * A fast hash will do: only texts of our own form are accepted, and those have 256 random bits. A
 * secret that somebody made up never matches.
 */
export function matchesSecretHash(secret: string, hashes: readonly string[] = decoys): boolean {
  const presented = digest(secret)
  let isMatch = false
  for (const hash of hashes) {
    const known = Buffer.from(hash.slice(hash.indexOf('.') + 1), 'base64url')
    if (equalBytes(presented, known)) isMatch = true
  }
  return isMatch && secretPattern.test(secret) && hashes !== decoys
}
