import type { CounterStore } from './counter-store.ts'
import { isRedis, sqlitePath } from './open-data-store.ts'
import type { AccountStore, SessionStore } from './ports.ts'
import { postgresSchemes } from './postgres/url.ts'

/** Counters in SQLite have a file of their own beside the sessions: one file would slow both down. */
const countersSuffix = '.counters'
const webhookPrefix = 'webhook+'

/**
 * Opens the account store of a URL and loads its driver.
 *
 * @param cwd the folder that relative paths are resolved against
 * @param webhookSecrets secrets that sign messages to a `webhook+https://…` user base, newest first
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openAccountStore(
  url: string,
  cwd: string,
  webhookSecrets: readonly string[] = [],
): Promise<AccountStore> {
  const webhook = webhookAddress(url)
  if (webhook !== null) {
    const { WebhookAccountStore } = await import('./webhook/account-store.ts')
    return new WebhookAccountStore({ url: webhook, secrets: webhookSecrets })
  }
  if (isPostgres(url)) {
    const { PostgresAccountStore } = await import('./postgres/account-store.ts')
    return PostgresAccountStore.open(url)
  }
  const { SqliteAccountStore } = await import('./sqlite/account-store.ts')
  return new SqliteAccountStore(sqlitePath(url, cwd))
}

/**
 * Opens the session store of a URL and loads its driver.
 *
 * @param replicas Redis replicas that must have a new or ended session before it is acknowledged
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openSessionStore(
  url: string,
  cwd: string,
  replicas = 0,
): Promise<SessionStore> {
  if (isRedis(url)) {
    const { RedisSessionStore } = await import('./redis/session-store.ts')
    return RedisSessionStore.open(url, { cwd, replicas })
  }
  if (isPostgres(url)) {
    const { PostgresSessionStore } = await import('./postgres/session-store.ts')
    return PostgresSessionStore.open(url)
  }
  const { SqliteSessionStore } = await import('./sqlite/session-store.ts')
  return new SqliteSessionStore(sqlitePath(url, cwd))
}

/** Opens the counter store that belongs to the session store of a URL. */
export async function openCounterStore(url: string, cwd: string): Promise<CounterStore> {
  if (isRedis(url)) {
    const { RedisCounterStore } = await import('./redis/counter-store.ts')
    return RedisCounterStore.open(url, { cwd })
  }
  if (isPostgres(url)) {
    const { PostgresCounterStore } = await import('./postgres/counter-store.ts')
    return PostgresCounterStore.open(url)
  }
  const { SqliteCounterStore } = await import('./sqlite/counter-store.ts')
  const path = sqlitePath(url, cwd)
  return new SqliteCounterStore(path === ':memory:' ? path : `${path}${countersSuffix}`)
}

/** Returns the address of an existing user base, or null for a store of Gatepass. */
export function webhookAddress(url: string): string | null {
  return url.startsWith(webhookPrefix) ? url.slice(webhookPrefix.length) : null
}

export function isPostgres(url: string): boolean {
  return postgresSchemes.some((scheme) => url.startsWith(scheme))
}

/** Removes credentials and query from the URL of a server, so that it can be shown. */
export function withoutSecrets(url: string): string {
  if (/^(sqlite|file):/.test(url)) return url
  // A password may contain an @, also in the query.
  return url.replace(/\?.*/, '').replace(/(?<=:\/\/).*@/, '…@')
}
