import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import * as z from 'zod'
import { GatepassError } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import { type Algorithm, addJwsOptions, algorithmNames, algorithms } from '../tokens/algorithms.ts'
import { jwkThumbprint, publicMembers } from '../tokens/verification-key.ts'
import type { KeyInfo } from './lifecycle.ts'

/** Creates, checks and serializes key records. A stored record is not trusted until it is read here. */

/** A signing key with its private half in the clear. */
export interface KeyRecord extends KeyInfo {
  readonly privateJwk: JWK
}

/** A named text in the store. The text is JSON; the store does not read it. */
export interface StoredKey {
  /** Matches `keyNamePattern`. */
  readonly name: string
  readonly text: string
}

/** Safe as a file name on every system, and short. */
export const keyNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/

/** The minimum of RFC 7518 §3.3. The cost of a signature grows with the cube of the length. */
const rsaModulusBits = 2048

/** Generates a private key. RSA takes some tenths of a second, outside the main thread. */
export async function generateKey(alg: Algorithm): Promise<Pick<KeyRecord, 'kid' | 'privateJwk'>> {
  const { privateKey } = await generateKeyPair(alg, {
    extractable: true,
    modulusLength: rsaModulusBits,
  })
  const privateJwk = await exportJWK(privateKey)
  return { kid: await calculateJwkThumbprint(privateJwk), privateJwk }
}

/** Returns the public half as it stands in a JWKS (RFC 7517 §4). */
export function publicJwkOf(record: KeyRecord): JWK {
  const { kid, alg, privateJwk } = record
  const { kty, crv } = algorithms[alg]
  const members = publicMembers[kty].map((name) => [name, privateJwk[name]])
  return {
    kty,
    ...(crv !== null && { crv }),
    ...Object.fromEntries(members),
    kid,
    alg,
    use: 'sig',
  }
}

/** @throws `key_store_invalid` if the members are not a key; without a cause, which may quote it */
export function importPrivateKey(record: KeyRecord): KeyObject {
  try {
    const { kty } = algorithms[record.alg]
    const key = { ...record.privateJwk, kty } as JsonWebKey
    return addJwsOptions(createPrivateKey({ key, format: 'jwk' }), record.alg)
  } catch {
    throw new GatepassError('key_store_invalid', {
      detail: `The private key of ${record.name} cannot be used.`,
    })
  }
}

/**
 * Describes what is wrong with a record, or returns null. A `kid` that is not the thumbprint of its
 * key would let one key pass for another.
 */
export function recordProblem({ alg, kid, privateJwk }: KeyRecord): string | null {
  const { kty, crv } = algorithms[alg]
  if (privateJwk.kty !== kty || (crv !== null && privateJwk.crv !== crv)) {
    return 'its key type does not match its algorithm'
  }
  return jwkThumbprint(privateJwk, alg) === kid ? null : 'its kid is not its thumbprint'
}

const time = z.int().nonnegative()

/** Every JWK member that we use is a string. */
export const privateJwkSchema = z.record(z.string(), z.string())

const keySchema = z.strictObject({
  name: z.string().regex(keyNamePattern),
  kid: z.string().max(100),
  alg: z.enum(algorithmNames),
  createdAtMs: time,
  activateAtMs: time,
  // A JWE in Compact Serialization (RFC 7516 §3.1).
  encryptedKey: z.string(),
})

const revocationSchema = z.strictObject({ name: z.string(), kid: z.string(), revokedAtMs: time })

/** The content of a record. Its revocation is another record. */
export interface EncryptedKey extends Omit<KeyInfo, 'revokedAtMs'> {
  readonly encryptedKey: string
}

export function serializeKey(key: EncryptedKey): StoredKey {
  const { name, kid, alg, createdAtMs, activateAtMs, encryptedKey } = key
  return toStored({ name, kid, alg, createdAtMs, activateAtMs, encryptedKey })
}

/** @throws `key_store_invalid`, which quotes nothing of the record */
export function parseKey(key: StoredKey): EncryptedKey {
  return parse(key, keySchema)
}

/** The revocation of a key: a record of its own, so that rewriting the key cannot undo it. */
export interface KeyRevocation {
  readonly kid: string
  readonly revokedAtMs: number
}

const revocationPrefix = 'revoked-'

export function isRevocation({ name }: StoredKey): boolean {
  return name.startsWith(revocationPrefix)
}

export function serializeRevocation({ kid, revokedAtMs }: KeyRevocation): StoredKey {
  return toStored({ name: `${revocationPrefix}${kid}`, kid, revokedAtMs })
}

/** @throws `key_store_invalid` */
export function parseRevocation(key: StoredKey): KeyRevocation {
  const { kid, revokedAtMs } = parse(key, revocationSchema)
  if (key.name !== `${revocationPrefix}${kid}`) {
    throw invalidRecord(key.name, 'its kid does not match its name')
  }
  return { kid, revokedAtMs }
}

export function invalidRecord(name: string, why: string): GatepassError {
  return new GatepassError('key_store_invalid', {
    detail: `The record "${name}" in the key store is not acceptable: ${why}.`,
  })
}

function toStored<Content extends { readonly name: string }>(content: Content): StoredKey {
  return { name: content.name, text: `${JSON.stringify(content, null, 2)}\n` }
}

function parse<Content extends { readonly name: string }>(
  { name, text }: StoredKey,
  schema: z.ZodType<Content>,
): Content {
  const parsed = schema.safeParse(parseJson(text))
  if (!parsed.success) {
    const issues = parsed.error.issues.filter(({ code }) => code !== 'unrecognized_keys')
    if (issues.length === 0) {
      const why = 'it has members that this version does not know. Start the version that wrote it'
      throw invalidRecord(name, why)
    }
    const members = new Set(issues.map(({ path }) => String(path[0] ?? 'the whole text')))
    throw invalidRecord(name, `these members are missing or wrong: ${[...members].join(', ')}`)
  }
  if (parsed.data.name !== name) throw invalidRecord(name, 'its name member differs')
  return parsed.data
}
