import { z } from 'zod'
import { GatepassError } from '../core/errors.ts'
import { algorithmNames } from '../tokens/algorithms.ts'
import { keyNamePattern } from './record.ts'
import type { KeyInfo, KeyRecord, StoredKey } from './store.ts'

/** The form of what is kept in a store. What is read is not trusted: others may have written it. */

const time = z.int().nonnegative()

const infoMembers = {
  name: z.string().regex(keyNamePattern),
  kid: z.string().max(100),
  alg: z.enum(algorithmNames),
  createdAtMs: time,
  activateAtMs: time,
}

/** Of a JWK all members that we use are texts. */
export const privateJwkSchema = z.record(z.string(), z.string())

const keySchema = z.strictObject({
  ...infoMembers,
  // One of the two: in the clear, or a compact JWE (`KeySeal`).
  privateJwk: privateJwkSchema.optional(),
  encryptedKey: z.string().optional(),
})

const revocationSchema = z.strictObject({ name: z.string(), kid: z.string(), revokedAtMs: time })

/** What a record says of its key before that is opened. */
export type WrittenInfo = Omit<KeyInfo, 'revokedAtMs'>

export interface WrittenKey {
  readonly info: WrittenInfo
  readonly privateKey: { readonly jwk: KeyRecord['privateJwk'] } | { readonly encrypted: string }
}

export function writeKey({ info, privateKey }: WrittenKey): StoredKey {
  const { name, kid, alg, createdAtMs, activateAtMs } = info
  const secret =
    'jwk' in privateKey ? { privateJwk: privateKey.jwk } : { encryptedKey: privateKey.encrypted }
  return stored({ name, kid, alg, createdAtMs, activateAtMs, ...secret })
}

/** @throws `key_store_invalid`; no cause, for a parser's message may quote the private key */
export function readKey(key: StoredKey): WrittenKey {
  const { privateJwk, encryptedKey, ...info } = read(key, keySchema)
  if (privateJwk !== undefined && encryptedKey === undefined) {
    return { info, privateKey: { jwk: privateJwk } }
  }
  if (encryptedKey !== undefined && privateJwk === undefined) {
    return { info, privateKey: { encrypted: encryptedKey } }
  }
  throw invalidKey(key.name, 'it must have one of privateJwk and encryptedKey')
}

/** That a key is revoked, and when. A record of its own, so that nothing undoes it unseen. */
export interface KeyRevocation {
  readonly kid: string
  readonly revokedAtMs: number
}

const revocationPrefix = 'revoked-'

export function isRevocation({ name }: StoredKey): boolean {
  return name.startsWith(revocationPrefix)
}

export function writeRevocation({ kid, revokedAtMs }: KeyRevocation): StoredKey {
  return stored({ name: `${revocationPrefix}${kid}`, kid, revokedAtMs })
}

/** @throws `key_store_invalid` */
export function readRevocation(key: StoredKey): KeyRevocation {
  const { kid, revokedAtMs } = read(key, revocationSchema)
  if (key.name !== `${revocationPrefix}${kid}`) throw invalidKey(key.name, 'its kid is another')
  return { kid, revokedAtMs }
}

export function invalidKey(name: string, why: string): GatepassError {
  return new GatepassError('key_store_invalid', {
    detail: `The record "${name}" in the key store is not acceptable: ${why}.`,
  })
}

function stored<Content extends { readonly name: string }>(content: Content): StoredKey {
  return { name: content.name, text: `${JSON.stringify(content, null, 2)}\n` }
}

function read<Content extends { readonly name: string }>(
  { name, text }: StoredKey,
  schema: z.ZodType<Content>,
): Content {
  const parsed = schema.safeParse(parseJson(text))
  if (!parsed.success) {
    const members = new Set(parsed.error.issues.map(({ path }) => String(path[0] ?? 'all of it')))
    throw invalidKey(name, [...members].join(', '))
  }
  if (parsed.data.name !== name) throw invalidKey(name, 'it is about another name')
  return parsed.data
}

/** Undefined for what is not JSON, which no schema accepts. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
