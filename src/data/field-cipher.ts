import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { LruCache } from '../core/lru-cache.ts'
import { hmac, smallRandomBytes } from '../core/secrets.ts'
import type { DataOwner } from '../stores/data-store.ts'

/** The place that a value is bound to. A value that is copied elsewhere does not decrypt. */
export interface FieldPlace {
  readonly owner: DataOwner
  readonly field: string
  readonly version: string
}

const algorithm = 'aes-256-gcm'
/** First byte of a ciphertext, in case the format changes. */
const formatVersion = 1
const keyIdBytes = 4
const nonceBytes = 12
const tagBytes = 16
const headBytes = 1 + keyIdBytes + nonceBytes
/** Deriving a key takes three times as long as decrypting a small value with it. */
const maxCachedKeys = 10_000

/** How values are stored. A value that does not decrypt counts as absent. */
export type FieldCodec = Pick<FieldCipher, 'encrypt' | 'decrypt'>

/** The first byte of a value that is stored without encryption. */
const plainMark = Buffer.of(0)

/** Stores values without encryption, for a store whose readers may read them. */
export const plainValues: FieldCodec = {
  encrypt: (_place, value) => Buffer.concat([plainMark, value]),
  decrypt: (_place, stored) => (stored[0] === plainMark[0] ? stored.subarray(1) : null),
}

/**
 * Encrypts values for the store with AES-256-GCM (NIST SP 800-38D). A reader of the store learns the
 * length of a value and nothing else.
 *
 * Format: version (1 byte), id of the secret (4), nonce (12), ciphertext, tag (16). Each owner has a
 * key, derived from the secret by HMAC-SHA-256 (NIST SP 800-108). Random nonces are safe for any
 * number of owners: the limit of 2³² writes is per owner.
 */
export class FieldCipher {
  readonly #roots: readonly RootKey[]

  /**
   * @param secrets newest first, each with 256 bits of entropy: the first encrypts, all decrypt
   */
  constructor(secrets: readonly [string, ...string[]]) {
    this.#roots = secrets.map(rootKeyOf)
  }

  encrypt(place: FieldPlace, value: Buffer): Buffer {
    const [newest] = this.#roots as [RootKey]
    const encrypted = Buffer.allocUnsafe(headBytes + value.length + tagBytes)
    encrypted.set(newest.head)
    const nonce = smallRandomBytes(nonceBytes)
    encrypted.set(nonce, headBytes - nonceBytes)
    const cipher = createCipheriv(algorithm, ownerKey(newest, place.owner), nonce)
    cipher.setAAD(associatedData(place))
    encrypted.set(cipher.update(value), headBytes)
    // Returns no bytes, and computes the tag.
    cipher.final()
    encrypted.set(cipher.getAuthTag(), headBytes + value.length)
    return encrypted
  }

  /**
   * Decrypts a value. Returns null if the value was encrypted for another place or under an unknown
   * secret, or was changed.
   */
  decrypt(place: FieldPlace, encrypted: Buffer): Buffer | null {
    if (encrypted.length < headBytes + tagBytes || encrypted[0] !== formatVersion) return null
    const id = encrypted.subarray(1, 1 + keyIdBytes)
    const root = this.#roots.find((one) => one.id.equals(id))
    if (root === undefined) return null
    const nonce = encrypted.subarray(1 + keyIdBytes, headBytes)
    const decipher = createDecipheriv(algorithm, ownerKey(root, place.owner), nonce, {
      authTagLength: tagBytes,
    })
    decipher.setAAD(associatedData(place))
    decipher.setAuthTag(encrypted.subarray(-tagBytes))
    try {
      const ciphertext = encrypted.subarray(headBytes, -tagBytes)
      const plain = decipher.update(ciphertext)
      // Returns no bytes, and throws if the value was changed.
      decipher.final()
      return plain
    } catch {
      return null
    }
  }
}

interface RootKey {
  readonly id: Buffer
  /** The bytes before the nonce. */
  readonly head: Buffer
  readonly key: KeyObject
  /** Keys of owners, by id. */
  readonly ownerKeys: { readonly [S in DataOwner['scope']]: LruCache<KeyObject> }
}

function rootKeyOf(secret: string): RootKey {
  const key = createSecretKey(hmac(Buffer.from(secret), 'gatepass session data 1'))
  const id = hmac(key, 'id').subarray(0, keyIdBytes)
  return {
    key,
    id,
    head: Buffer.concat([Buffer.of(formatVersion), id]),
    ownerKeys: { session: new LruCache(maxCachedKeys), user: new LruCache(maxCachedKeys) },
  }
}

function ownerKey({ key, ownerKeys }: RootKey, { scope, id }: DataOwner): KeyObject {
  return ownerKeys[scope].getOrAdd(id, () => createSecretKey(hmac(key, `key ${scope} ${id}`)))
}

/** The associated data, as JSON. Ids, fields and versions contain nothing that needs escaping. */
function associatedData({ owner, field, version }: FieldPlace): Buffer {
  return Buffer.from(`["${owner.scope}","${owner.id}","${field}","${version}"]`)
}
