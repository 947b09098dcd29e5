import type { JWK } from 'jose'
import type { Algorithm } from '../tokens/algorithms.ts'

/** What anyone may know of a signing key. */
export interface KeyInfo {
  /** Its name in the store. Who inserts a name first decides what is under it. */
  readonly name: string
  /** RFC 7638 thumbprint by SHA-256, the `kid` of every token that the key signs. */
  readonly kid: string
  readonly alg: Algorithm
  readonly createdAtMs: number
  /** From when on it signs, until one of a later turn does. */
  readonly activateAtMs: number
  /** When it was taken out for good; null for a key that is trusted. */
  readonly revokedAtMs: number | null
}

/** The key without what is secret in it. */
export function keyInfo(key: KeyInfo): KeyInfo {
  const { name, kid, alg, createdAtMs, activateAtMs, revokedAtMs } = key
  return { name, kid, alg, createdAtMs, activateAtMs, revokedAtMs }
}

/** A signing key, opened. */
export interface KeyRecord extends KeyInfo {
  readonly privateJwk: JWK
}

/** What a store keeps under a name. The text is JSON, and no concern of the store. */
export interface StoredKey {
  /** Of `keyNamePattern`. */
  readonly name: string
  readonly text: string
}

/**
 * Where the replicas of an issuer share their signing keys: texts by name. It never sees the secret
 * that they are encrypted under (`KeyVault`), nor does it read them.
 */
export interface KeyStore {
  /**
   * All there is, in no order.
   * @throws `key_store_invalid` when what it holds may have been seen or put there by others,
   *   `store_unavailable`
   */
  list(): Promise<StoredKey[]>
  /** Inserts a text unless one of its name is there, in one atomic step. Tells whether it did. */
  insertIfAbsent(key: StoredKey): Promise<boolean>
  /**
   * Replaces a text, so that whoever looks sees the one before or this one. A name that was removed
   * a moment ago may come back: what is over by the clock or by a revocation stays over.
   */
  replace(key: StoredKey): Promise<void>
  /** Removes a name for good. It is no error when there is none of this name. */
  remove(name: string): Promise<void>
  /** Resolves when the store answers; throws `store_unavailable` when it does not. */
  ping(): Promise<void>
  close(): Promise<void>
}
