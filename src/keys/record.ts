import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import { GatepassError } from '../core/errors.ts'
import { type Algorithm, algorithms } from '../tokens/algorithms.ts'
import { readyForJws } from '../tokens/node-key.ts'
import type { KeyRecord } from './store.ts'

/** Safe as a file name on every system, and short. */
export const keyNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/

/** The least that RFC 7518 §3.3 allows. More makes each signature slower, by the length cubed. */
const rsaModulusBits = 2048

/** What of each key type is public (RFC 7518 §6, RFC 8037 §2, RFC 9964 §3). */
const publicMembers = {
  EC: ['kty', 'crv', 'x', 'y'],
  OKP: ['kty', 'crv', 'x'],
  RSA: ['kty', 'n', 'e'],
  AKP: ['kty', 'pub'],
} as const satisfies Record<string, readonly (keyof JWK)[]>

/** Makes a new private key. RSA takes some tenths of a second, on a thread of its own. */
export async function generateKey(alg: Algorithm): Promise<Pick<KeyRecord, 'kid' | 'privateJwk'>> {
  const { privateKey } = await generateKeyPair(alg, {
    extractable: true,
    modulusLength: rsaModulusBits,
  })
  const privateJwk = await exportJWK(privateKey)
  return { kid: await calculateJwkThumbprint(privateJwk), privateJwk }
}

/** The public half, as it stands in a JWKS (RFC 7517 §4). */
export function publicJwkOf(record: KeyRecord): JWK {
  const { kty } = algorithms[record.alg]
  const members = publicMembers[kty].map((member) => [member, record.privateJwk[member]])
  return { ...Object.fromEntries(members), kid: record.kid, alg: record.alg, use: 'sig' }
}

/** @throws `key_store_invalid` when its members make no key; no cause, it may quote the key */
export function importPrivateKey(record: KeyRecord): KeyObject {
  try {
    const { kty } = algorithms[record.alg]
    const key = { ...record.privateJwk, kty } as JsonWebKey
    return readyForJws(createPrivateKey({ key, format: 'jwk' }), record.alg)
  } catch {
    throw new GatepassError('key_store_invalid', {
      detail: `The key ${record.name} has a private key that can't be used.`,
    })
  }
}

/**
 * What is wrong with a record, in words; null when nothing is. A kid that is not the thumbprint of
 * its key would let one key pass for another.
 */
export async function recordProblem({ alg, kid, privateJwk }: KeyRecord): Promise<string | null> {
  const { kty, crv } = algorithms[alg]
  if (privateJwk.kty !== kty || (crv !== null && privateJwk.crv !== crv)) {
    return 'it is of another type than its algorithm'
  }
  return (await thumbprint(privateJwk)) === kid ? null : 'its kid is not its thumbprint'
}

/** Null when a member that it is made of is missing. */
async function thumbprint(jwk: JWK): Promise<string | null> {
  try {
    return await calculateJwkThumbprint(jwk)
  } catch {
    return null
  }
}
