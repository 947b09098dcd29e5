import { resolve } from 'node:path'
import type { JWK } from 'jose'
import { isPostgres } from '../stores/open-stores.ts'
import type { Algorithm } from '../tokens/algorithms.ts'

/** The public facts about a signing key. */
export interface KeyInfo {
  /** Name in the store. The first insert of a name wins. */
  readonly name: string
  /** RFC 7638 SHA-256 thumbprint; the `kid` of every token that the key signs. */
  readonly kid: string
  readonly alg: Algorithm
  readonly createdAtMs: number
  /** The key signs from this instant until a later key activates. */
  readonly activateAtMs: number
  /** Null for a key that is not revoked. */
  readonly revokedAtMs: number | null
}

/** Copies the public facts of a key and leaves out its private half. */
export function keyInfo(key: KeyInfo): KeyInfo {
  const { name, kid, alg, createdAtMs, activateAtMs, revokedAtMs } = key
  return { name, kid, alg, createdAtMs, activateAtMs, revokedAtMs }
}

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

/**
 * The store of signing keys that the replicas of an issuer share: texts by name.
 *
 * The store never sees the secret that encrypts the keys (`EncryptedKeyStore`).
 */
export interface KeyStore {
  /**
   * Lists all texts, in no order.
   * @throws `key_store_invalid` if another user may have read or replaced the content;
   *   `store_unavailable`
   */
  list(): Promise<StoredKey[]>
  /** Inserts a text in one atomic step and returns true, or returns false if the name exists. */
  insertIfAbsent(key: StoredKey): Promise<boolean>
  /**
   * Replaces a text atomically: a reader sees the old text or the new one. A name that was removed
   * a moment ago may reappear; its lifecycle and revocation still hold.
   */
  replace(key: StoredKey): Promise<void>
  /** Removes a name. Removing an absent name is not an error. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the key store that a URL names and loads its driver. Other drivers are never loaded.
 *
 * @param cwd base folder of a relative path
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openKeyStore(url: string, cwd: string): Promise<KeyStore> {
  if (isPostgres(url)) {
    const { PostgresKeyStore } = await import('./postgres-key-store.ts')
    return PostgresKeyStore.open(url)
  }
  const { FileKeyStore } = await import('./file-key-store.ts')
  return new FileKeyStore(resolve(cwd, url.slice('file:'.length)))
}
