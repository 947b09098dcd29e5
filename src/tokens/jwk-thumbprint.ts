import { hash } from 'node:crypto'
import type { JsonObject } from '../core/json.ts'
import { type Algorithm, algorithms } from './algorithms.ts'

/** The members that a thumbprint is made of, in their order: RFC 7638 §3.2, RFC 8037 §2, RFC 9964 §6. */
const members = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
  AKP: ['alg', 'kty', 'pub'],
} as const

/** The length of a SHA-256 thumbprint in base64url. */
const thumbprintLength = 43

/**
 * The SHA-256 thumbprint of a JWK (RFC 7638) that is of the type of an algorithm; null if a member is
 * missing. It says which key it is, not that it is one.
 */
export function jwkThumbprint(jwk: JsonObject, alg: Algorithm): string | null {
  const { kty } = algorithms[alg]
  const canonical: Record<string, string> = {}
  for (const name of members[kty]) {
    const value = jwk[name]
    if (typeof value !== 'string') return null
    canonical[name] = value
  }
  return canonical.kty === kty ? hash('sha256', JSON.stringify(canonical), 'base64url') : null
}

/** Whether a value has the form of such a thumbprint. */
export function isThumbprint(value: unknown): value is string {
  if (typeof value !== 'string' || value.length !== thumbprintLength) return false
  return Buffer.from(value, 'base64url').toString('base64url') === value
}
