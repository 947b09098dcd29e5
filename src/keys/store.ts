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
}

/** The key without what is secret in it. */
export function keyInfo({ name, kid, alg, createdAtMs, activateAtMs }: KeyInfo): KeyInfo {
  return { name, kid, alg, createdAtMs, activateAtMs }
}

/** A signing key as it is kept. */
export interface KeyRecord extends KeyInfo {
  readonly privateJwk: JWK
}

/** Where the replicas of an issuer share their signing keys. */
export interface KeyStore {
  /**
   * All keys, in no order.
   * @throws `key_store_invalid` when something in it is no key, `store_unavailable`
   */
  list(): Promise<KeyRecord[]>
  /** Inserts a record unless one of its name is there, in one atomic step. Tells whether it did. */
  insertIfAbsent(record: KeyRecord): Promise<boolean>
  /** Removes a key for good. It is no error when there is none of this name. */
  remove(name: string): Promise<void>
  /** Resolves when the store answers; throws `store_unavailable` when it does not. */
  ping(): Promise<void>
  close(): Promise<void>
}
