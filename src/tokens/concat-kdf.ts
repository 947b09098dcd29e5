import { createHash } from 'node:crypto'

/** What a key is derived for, beside the secret (RFC 7518 §4.6.2). */
export interface KeyContext {
  /** `enc`, the algorithm that will use the key. */
  readonly algorithm: string
  /** The decoded `apu` and `apv`; empty if the header has none. */
  readonly partyU: Uint8Array
  readonly partyV: Uint8Array
  /** At most 256: what one round of SHA-256 gives. */
  readonly keyBits: number
}

const digestBits = 256

/** The Concat KDF of RFC 7518 §4.6.2 (NIST SP 800-56A §5.8.1) for a key of one round. */
export function concatKdf(secret: Uint8Array, context: KeyContext): Buffer {
  const { algorithm, partyU, partyV, keyBits } = context
  if (keyBits > digestBits) throw new Error(`a key of ${keyBits} bits takes more than one round`)
  const hash = createHash('sha256').update(uint32(1)).update(secret)
  for (const field of [Buffer.from(algorithm), partyU, partyV]) {
    hash.update(uint32(field.length)).update(field)
  }
  return hash
    .update(uint32(keyBits))
    .digest()
    .subarray(0, keyBits / 8)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
