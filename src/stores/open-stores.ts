import { resolve } from 'node:path'
import type { CounterStore } from './counter-store.ts'
import type { DataStore } from './data-store.ts'
import type { AccountStore, SessionStore } from './ports.ts'

/** Counters in SQLite have a file beside the one of the sessions: each would slow the other down. */
const countersSuffix = '.counters'
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
    const { WebhookAccountStore } = await import('./webhook/account-store.ts')
    return new WebhookAccountStore({
      url: url.slice(webhookPrefix.length),
      secrets: webhookSecrets,
    })
  }
  if (isPostgres(url)) {
    const { PostgresAccountStore } = await import('./postgres/account-store.ts')
    return PostgresAccountStore.open(url)
  }
  const { SqliteAccountStore } = await import('./sqlite/account-store.ts')
  return new SqliteAccountStore(sqlitePath(url, cwd))
}

/**
 * Like `openAccountStore`.
 *
 * @param replicas how many replicas of a Redis must have a session, or its end, before that is
 *   acknowledged
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

/** Opens the counters that belong to a session store, in the same place. Like `openAccountStore`. */
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

export interface DataStoreOptions {
  /** How long a call takes at most. SQLite is asked at once. */
  readonly deadlineMs: number
  /** How many replicas of a Redis must have a change before it is acknowledged. */
  readonly replicas: number
  /** How long to wait for a store that is not there yet. */
  readonly openMs?: number
}

/** Like `openAccountStore`. */
export async function openDataStore(
  url: string,
  cwd: string,
  { replicas, ...options }: DataStoreOptions,
): Promise<DataStore> {
  if (isRedis(url)) {
    const { RedisDataStore } = await import('./redis/data-store.ts')
    return RedisDataStore.open(url, { ...options, replicas, cwd })
  }
  if (isMemcached(url)) {
    const { MemcachedDataStore } = await import('./memcached/data-store.ts')
    return MemcachedDataStore.open(url, { ...options, cwd })
  }
  const { SqliteDataStore } = await import('./sqlite/data-store.ts')
  return new SqliteDataStore(sqlitePath(url, cwd))
}

export function isPostgres(url: string): boolean {
  return url.startsWith('postgres:') || url.startsWith('postgresql:')
}

function isRedis(url: string): boolean {
  return url.startsWith('redis')
}

function isMemcached(url: string): boolean {
  return url.startsWith('memcached')
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
