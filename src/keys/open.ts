import { resolve } from 'node:path'
import { isPostgres } from '../stores/open.ts'
import type { KeyStore } from './store.ts'

/**
 * Opens the key store that a URL names; its driver is loaded only then.
 *
 * @param cwd the folder that a relative path starts from
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openKeyStore(url: string, cwd: string): Promise<KeyStore> {
  if (isPostgres(url)) {
    const { PostgresKeyStore } = await import('./postgres-store.ts')
    return PostgresKeyStore.open(url)
  }
  const { FileKeyStore } = await import('./file-store.ts')
  return new FileKeyStore(resolve(cwd, url.slice('file:'.length)))
}
