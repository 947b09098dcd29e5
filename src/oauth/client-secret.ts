import { randomBytes } from 'node:crypto'
import { digestText, equalTexts } from '../core/secrets.ts'

const secretPattern = /^gps_[\w-]{43}$/
const hashPattern = /^sha256\.[\w-]{43}$/

export interface ClientSecret {
  /** The secret for the client: 256 random bits. */
  readonly secret: string
  /** The hash for `secret_hashes` of the client in the settings. */
  readonly hash: string
}

export function createClientSecret(): ClientSecret {
  const secret = `gps_${randomBytes(32).toString('base64url')}`
  return { secret, hash: hashOf(secret) }
}

function hashOf(secret: string): string {
  return `sha256.${digestText(secret)}`
}

export function isSecretHash(text: string): boolean {
  return hashPattern.test(text)
}

/** A client has two secrets while a new secret replaces the old one. */
export const maxSecretHashes = 2

/** Placeholders for the hashes that a client lacks. Nobody knows their secrets. */
const decoys = Array.from({ length: maxSecretHashes }, () => createClientSecret().hash)

/**
 * Returns whether a secret matches one of the hashes. The work does not depend on the client. A
 * fast hash suffices: a secret has 256 random bits, and a text of another form is refused.
 *
 * @param hashes at most `maxSecretHashes`. Default: none
 */
export function matchesSecretHash(secret: string, hashes: readonly string[] = []): boolean {
  const presented = hashOf(secret)
  let isMatch = false
  for (const [at, decoy] of decoys.entries()) {
    const known = hashes[at] ?? decoy
    if (equalTexts(presented, known) && known !== decoy) isMatch = true
  }
  return isMatch && secretPattern.test(secret)
}
