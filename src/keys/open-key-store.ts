import { resolve } from 'node:path'
import { isPostgres } from '../stores/open-stores.ts'
import type { KeyStore } from './key-store.ts'

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
