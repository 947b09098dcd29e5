import { hkdfSync } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'
import { recordProblem } from './record.ts'
import type { KeyRecord, StoredKey } from './store.ts'
import {
  invalidKey,
  privateJwkSchema,
  readKey,
  type WrittenInfo,
  type WrittenKey,
  writeKey,
} from './stored-key.ts'

/** An encrypted JWK (RFC 7517 §7), directly by a key that both sides have (RFC 7518 §4.5). */
const header = { alg: 'dir', enc: 'A256GCM', cty: 'jwk+json' } as const

/** A version of its own, should what is bound to a key ever change. */
const purpose = 'gatepass signing key 1'

export interface OpenedKey extends KeyRecord {
  /** Whether it is stored as `seal` would store it now. */
  readonly isCurrent: boolean
}

/**
 * Encrypts private keys for the store, and decrypts them.
 *
 * Each record has a key of its own, derived from the secret and from all that the record says of
 * its key (HKDF, RFC 5869). So a ciphertext that was moved to another record, or whose record says
 * something else than when it was written (another turn), does not decrypt.
 */
export class KeySeal {
  readonly #secrets: readonly string[]

  /**
   * @param secrets newest first, each with 256 bits that nobody can guess: the first one encrypts,
   *   each decrypts. Without any, keys are stored in the clear.
   */
  constructor(secrets: readonly string[]) {
    this.#secrets = secrets
  }

  async seal(record: KeyRecord): Promise<StoredKey> {
    const { privateJwk } = record
    const [secret] = this.#secrets
    if (secret === undefined) return writeKey({ info: record, privateKey: { jwk: privateJwk } })
    const encrypted = await new CompactEncrypt(Buffer.from(JSON.stringify(privateJwk)))
      .setProtectedHeader(header)
      .encrypt(keyFor(secret, record))
    return writeKey({ info: record, privateKey: { encrypted } })
  }

  /**
   * Opens a record; one in the clear too, so that a store can be brought along.
   * @throws `key_store_invalid`, which names the record and nothing in it
   */
  async open(stored: StoredKey): Promise<OpenedKey> {
    const written = readKey(stored)
    const { jwk, isCurrent } = await this.#privateKeyOf(written)
    const record = { ...written.info, revokedAtMs: null, privateJwk: jwk }
    const problem = await recordProblem(record)
    if (problem !== null) throw invalidKey(stored.name, problem)
    return { ...record, isCurrent }
  }

  async #privateKeyOf({ info, privateKey }: WrittenKey) {
    if ('jwk' in privateKey) return { jwk: privateKey.jwk, isCurrent: this.#secrets.length === 0 }
    for (const [age, secret] of this.#secrets.entries()) {
      const text = await decrypt(privateKey.encrypted, keyFor(secret, info))
      if (text === null) continue
      return { jwk: privateJwkSchema.parse(JSON.parse(text)), isCurrent: age === 0 }
    }
    throw invalidKey(
      info.name,
      'no secret in GATEPASS_KEYS_SECRET or GATEPASS_SECRET opens it. Put back the one that it was encrypted under; ' +
        'if that is lost remove the record, so that a new key is made. Its tokens are refused then',
    )
  }
}

function keyFor(secret: string, info: WrittenInfo): Uint8Array {
  const { name, kid, alg, createdAtMs, activateAtMs } = info
  const bound = JSON.stringify([purpose, name, kid, alg, createdAtMs, activateAtMs])
  return new Uint8Array(hkdfSync('sha256', secret, '', bound, 32))
}

/** Null when it is not ours, was changed, or is encrypted under another secret. */
async function decrypt(text: string, key: Uint8Array): Promise<string | null> {
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
