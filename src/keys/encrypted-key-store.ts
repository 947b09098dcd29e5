import { hkdfSync } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'
import {
  type EncryptedKey,
  invalidRecord,
  isRevocation,
  type KeyRecord,
  parseKey,
  parseRevocation,
  privateJwkSchema,
  recordProblem,
  type StoredKey,
  serializeKey,
  serializeRevocation,
} from './key-record.ts'
import type { KeyStore } from './key-store.ts'
import type { KeyInfo } from './lifecycle.ts'

/** A JWK encrypted (RFC 7517 §7) directly with a shared key (RFC 7518 §4.5). */
const header = { alg: 'dir', enc: 'A256GCM', cty: 'jwk+json' } as const

/** Versioned, in case the set of facts that a ciphertext is bound to changes. */
const purpose = 'gatepass signing key 1'

/** Newest first, each with 256 bits of entropy: the first encrypts, all decrypt. */
export type KeySecrets = readonly [string, ...string[]]

export interface DecryptedKey extends KeyRecord {
  /** False if the record must be encrypted again, because it is under an older secret. */
  readonly isCurrent: boolean
}

/**
 * Encrypts private keys on the way into a `KeyStore` and decrypts them on the way out. A record that is
 * not encrypted is refused: write access to the store alone must not add a key.
 *
 * HKDF (RFC 5869) derives the key of each record from the secret and all public facts of the record. A
 * ciphertext does not decrypt in another record, or with other facts.
 */
export class EncryptedKeyStore {
  readonly #store: KeyStore
  readonly #secrets: KeySecrets

  constructor(store: KeyStore, secrets: KeySecrets) {
    this.#store = store
    this.#secrets = secrets
  }

  /** @throws `key_store_invalid`, which names the record and nothing in it; `store_unavailable` */
  async list(): Promise<DecryptedKey[]> {
    const keys = await readKeys(this.#store)
    return Promise.all(keys.map((key) => decrypt(key, this.#secrets)))
  }

  /** Inserts a key and returns true, or returns false if its name exists. */
  async insertIfAbsent(record: KeyRecord): Promise<boolean> {
    return this.#store.insertIfAbsent(await encrypt(record, this.#secrets[0]))
  }

  /**
   * Records that a key is revoked. The record is permanent and separate from the key: neither a
   * replica that encrypts the key again nor a restored backup undoes it.
   */
  async revoke(kid: string, revokedAtMs: number): Promise<void> {
    await this.#store.insertIfAbsent(serializeRevocation({ kid, revokedAtMs }))
  }

  /** Encrypts, under the newest secret, the keys that are not current. */
  async reencrypt(keys: readonly DecryptedKey[]): Promise<void> {
    for (const key of keys) {
      if (!key.isCurrent) await this.#store.replace(await encrypt(key, this.#secrets[0]))
    }
  }

  async remove(name: string): Promise<void> {
    await this.#store.remove(name)
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}

/** Lists the public facts of all keys. Needs no secret. */
export async function listKeyInfos(store: KeyStore): Promise<KeyInfo[]> {
  const keys = await readKeys(store)
  return keys.map(({ encryptedKey: _, ...info }) => info)
}

async function readKeys(store: KeyStore): Promise<(KeyInfo & EncryptedKey)[]> {
  const stored = await store.list()
  const revocations = stored.filter(isRevocation).map(parseRevocation)
  const revokedAtMs = new Map(revocations.map((one) => [one.kid, one.revokedAtMs]))
  const keys = stored.filter((one) => !isRevocation(one)).map(parseKey)
  return keys.map((key) => ({ ...key, revokedAtMs: revokedAtMs.get(key.kid) ?? null }))
}

async function encrypt(record: KeyRecord, secret: string): Promise<StoredKey> {
  const encryptedKey = await new CompactEncrypt(Buffer.from(JSON.stringify(record.privateJwk)))
    .setProtectedHeader(header)
    .encrypt(deriveKey(secret, record))
  return serializeKey({ ...record, encryptedKey })
}

async function decrypt(
  { encryptedKey, ...info }: KeyInfo & EncryptedKey,
  secrets: KeySecrets,
): Promise<DecryptedKey> {
  for (const [age, secret] of secrets.entries()) {
    const text = await decryptText(encryptedKey, deriveKey(secret, info))
    if (text === null) continue
    const privateJwk = privateJwkSchema.parse(JSON.parse(text))
    const record = { ...info, privateJwk }
    const problem = recordProblem(record)
    if (problem !== null) throw invalidRecord(info.name, problem)
    return { ...record, isCurrent: age === 0 }
  }
  throw invalidRecord(
    info.name,
    'no secret in GATEPASS_KEYS_SECRET or GATEPASS_SECRET decrypts it. Restore the secret that ' +
      'encrypted it. If that secret is lost, delete the record: a new key is created, and tokens ' +
      'of the old key are refused',
  )
}

function deriveKey(secret: string, info: KeyInfo): Uint8Array {
  const { name, kid, alg, createdAtMs, activateAtMs } = info
  const bound = JSON.stringify([purpose, name, kid, alg, createdAtMs, activateAtMs])
  return new Uint8Array(hkdfSync('sha256', secret, '', bound, 32))
}

/**
 * Returns null if the text is not a JWE of this store, was changed, or is encrypted under another
 * secret.
 */
async function decryptText(text: string, key: Uint8Array): Promise<string | null> {
  try {
    const { plaintext } = await compactDecrypt(text, key, {
      keyManagementAlgorithms: [header.alg],
      contentEncryptionAlgorithms: [header.enc],
    })
    return Buffer.from(plaintext).toString()
  } catch {
    return null
  }
}
