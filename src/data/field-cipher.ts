import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { Recent } from '../core/recent.ts'
import { hmac } from '../core/secrets.ts'
import type { DataOwner } from '../stores/data-store.ts'

/** Where a value belongs. A value that was copied to another place does not decrypt there. */
export interface FieldPlace {
  readonly owner: DataOwner
  readonly field: string
  readonly version: string
}

const algorithm = 'aes-256-gcm'
/** Of the form below, should it ever change. */
const form = 1
const keyIdBytes = 4
const nonceBytes = 12
const tagBytes = 16
const headBytes = 1 + keyIdBytes + nonceBytes
/** Making a key takes three times as long as decrypting a small value with it. */
const keptKeysMax = 10_000
/** A look-up, and the comparison of what was sealed, take a tenth of the time that decrypting takes. */
const keptValuesMax_bytes = 8 * 1024 ** 2
/** What one takes beside its bytes. */
const keptValue_bytes = 400

/**
 * Encrypts values for the store (AES-256-GCM, NIST SP 800-38D), so that who reads the store learns
 * how long they are and no more.
 *
 * Sealed, a value is: form, 1 byte; id of the secret, 4; nonce, 12; ciphertext; tag, 16. Each owner
 * has a key of their own, derived from the secret (NIST SP 800-108, HMAC-SHA-256). So random nonces
 * are safe however many owners there are: one of them would have to write 2³² times.
 */
export class FieldCipher {
  readonly #roots: readonly Root[]
  /** What was opened of late, by place. */
  readonly #opened = new Recent<Opened>(
    keptValuesMax_bytes,
    ({ sealed, value }) => keptValue_bytes + sealed.length + value.length,
  )

  /**
   * @param secrets newest first, each with 256 bits that nobody can guess: the first one encrypts,
   *   each decrypts
   */
  constructor(secrets: readonly [string, ...string[]]) {
    this.#roots = secrets.map(toRoot)
  }

  seal(place: FieldPlace, value: Buffer): Buffer {
    const [newest] = this.#roots as [Root]
    const sealed = Buffer.allocUnsafe(headBytes + value.length + tagBytes)
    sealed.set(newest.head)
    const nonce = freshNonce()
    sealed.set(nonce, headBytes - nonceBytes)
    const cipher = createCipheriv(algorithm, ownerKey(newest, place.owner), nonce)
    cipher.setAAD(boundTo(place))
    sealed.set(cipher.update(value), headBytes)
    // Brings nothing more, but makes the tag.
    cipher.final()
    sealed.set(cipher.getAuthTag(), headBytes + value.length)
    return sealed
  }

  /**
   * Null for what was not sealed for this place, was changed, or is of a secret not known here. What is
   * the same as before, to the last byte, is not decrypted again.
   */
  open(place: FieldPlace, sealed: Buffer): Buffer | null {
    const { owner, field, version } = place
    const name = `${owner.scope} ${owner.id} ${field}`
    const text = sealed.toString('latin1')
    const known = this.#opened.get(name)
    if (known !== undefined && known.sealed === text && known.version === version) {
      return known.value
    }
    const value = this.#decrypt(place, sealed)
    if (value !== null) this.#opened.set(name, { version, sealed: text, value })
    return value
  }

  #decrypt(place: FieldPlace, sealed: Buffer): Buffer | null {
    if (sealed.length < headBytes + tagBytes || sealed[0] !== form) return null
    const id = sealed.subarray(1, 1 + keyIdBytes)
    const root = this.#roots.find((one) => one.id.equals(id))
    if (root === undefined) return null
    const nonce = sealed.subarray(1 + keyIdBytes, headBytes)
    const decipher = createDecipheriv(algorithm, ownerKey(root, place.owner), nonce, {
      authTagLength: tagBytes,
    })
    decipher.setAAD(boundTo(place))
    decipher.setAuthTag(sealed.subarray(-tagBytes))
    try {
      const ciphertext = sealed.subarray(headBytes, -tagBytes)
      const plain = decipher.update(ciphertext)
      // Brings nothing more, but throws if anything was changed.
      decipher.final()
      return plain
    } catch {
      return null
    }
  }
}

/** A value that was found good, and what it was decrypted from. */
interface Opened {
  readonly version: string
  readonly sealed: string
  readonly value: Buffer
}

/** Random bytes that no nonce has used yet: drawn in bulk, a tenth of the cost of a draw for each. */
let unused = { bytes: Buffer.alloc(0), at: 0 }

function freshNonce(): Buffer {
  if (unused.at === unused.bytes.length) unused = { bytes: randomBytes(256 * nonceBytes), at: 0 }
  unused.at += nonceBytes
  return unused.bytes.subarray(unused.at - nonceBytes, unused.at)
}

interface Root {
  readonly id: Buffer
  /** What comes before the nonce. */
  readonly head: Buffer
  readonly key: KeyObject
  /** Keys of owners, by their ids. */
  readonly kept: { readonly [S in DataOwner['scope']]: Recent<KeyObject> }
}

function toRoot(secret: string): Root {
  const key = createSecretKey(hmac(Buffer.from(secret), 'gatepass session data 1'))
  const id = hmac(key, 'id').subarray(0, keyIdBytes)
  return {
    key,
    id,
    head: Buffer.concat([Buffer.of(form), id]),
    kept: { session: new Recent(keptKeysMax), user: new Recent(keptKeysMax) },
  }
}

function ownerKey({ key, kept }: Root, { scope, id }: DataOwner): KeyObject {
  const known = kept[scope].get(id)
  if (known !== undefined) return known
  const made = createSecretKey(hmac(key, `key ${scope} ${id}`))
  kept[scope].set(id, made)
  return made
}

/** In JSON: no id, field or version of ours needs escaping, and what a store makes up is like none of them. */
function boundTo({ owner, field, version }: FieldPlace): Buffer {
  return Buffer.from(`["${owner.scope}","${owner.id}","${field}","${version}"]`)
}
