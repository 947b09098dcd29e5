import { resolve } from 'node:path'
import type { CounterStore } from './counters.ts'
import type { AccountStore, SessionStore } from './ports.ts'

/** `webhook+https://…` is the address of a user base. */
const webhookPrefix = 'webhook+'

/**
 * Opens the store that a URL names; its driver is loaded only then.
 *
 * @param cwd the folder that a relative path starts from
 * @param webhookSecrets what messages to a user base are signed with, newest first
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openAccountStore(
  url: string,
  cwd: string,
  webhookSecrets: readonly string[] = [],
): Promise<AccountStore> {
  if (url.startsWith(webhookPrefix)) {
    const { WebhookAccountStore } = await import('./webhook/accounts.ts')
    return new WebhookAccountStore({
      url: url.slice(webhookPrefix.length),
      secrets: webhookSecrets,
    })
  }
  if (isPostgres(url)) {
    const { PostgresAccountStore } = await import('./postgres/accounts.ts')
    return PostgresAccountStore.open(url)
  }
  const { SqliteAccountStore } = await import('./sqlite/accounts.ts')
  return new SqliteAccountStore(sqlitePath(url, cwd))
}

/** Like `openAccountStore`. */
export async function openSessionStore(url: string, cwd: string): Promise<SessionStore> {
  if (isRedis(url)) {
    const { RedisSessionStore } = await import('./redis/sessions.ts')
    return RedisSessionStore.open(url, { cwd })
  }
  if (isPostgres(url)) {
    const { PostgresSessionStore } = await import('./postgres/sessions.ts')
    return PostgresSessionStore.open(url)
  }
  const { SqliteSessionStore } = await import('./sqlite/sessions.ts')
  return new SqliteSessionStore(sqlitePath(url, cwd))
}

/** Opens the counters that belong to a session store, in the same place. Like `openAccountStore`. */
export async function openCounterStore(url: string, cwd: string): Promise<CounterStore> {
  if (isRedis(url)) {
    const { RedisCounterStore } = await import('./redis/counters.ts')
    return RedisCounterStore.open(url, { cwd })
  }
  if (isPostgres(url)) {
    const { PostgresCounterStore } = await import('./postgres/counters.ts')
    return PostgresCounterStore.open(url)
  }
  const { SqliteCounterStore } = await import('./sqlite/counters.ts')
  return new SqliteCounterStore(sqlitePath(url, cwd))
}

export function isPostgres(url: string): boolean {
  return url.startsWith('postgres:') || url.startsWith('postgresql:')
}

function isRedis(url: string): boolean {
  return url.startsWith('redis')
}

/** `sqlite:<path>`, or `sqlite::memory:`, which lasts as long as the process. */
function sqlitePath(url: string, cwd: string): string {
  const path = url.slice('sqlite:'.length)
  return path === ':memory:' ? path : resolve(cwd, path)
}

/** A URL without what may be a secret in it, to be shown. */
export function withoutSecrets(url: string): string {
  return url.replace(/(?<=:\/\/)[^@/]*@/, '…@').replace(/\?.*/, '')
}
