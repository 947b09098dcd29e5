import { resolve } from 'node:path'
import type { AccountStore, SessionStore } from './ports.ts'

/**
 * Opens the store that a URL names; its driver is loaded only then.
 *
 * @param cwd the folder that a relative path starts from
 * @throws `store_unavailable`, `migration_failed`
 */
export async function openAccountStore(url: string, cwd: string): Promise<AccountStore> {
  const { SqliteAccountStore } = await import('./sqlite/accounts.ts')
  return new SqliteAccountStore(sqlitePath(url, cwd))
}

/** Like `openAccountStore`. */
export async function openSessionStore(url: string, cwd: string): Promise<SessionStore> {
  const { SqliteSessionStore } = await import('./sqlite/sessions.ts')
  return new SqliteSessionStore(sqlitePath(url, cwd))
}

/** `sqlite:<path>`, or `sqlite::memory:`, which lasts as long as the process. */
function sqlitePath(url: string, cwd: string): string {
  const path = url.slice('sqlite:'.length)
  return path === ':memory:' ? path : resolve(cwd, path)
}
