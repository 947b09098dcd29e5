import { resolve } from 'node:path'
import type { CounterStore } from './counter-store.ts'
import type { DataStore } from './data-store.ts'
import type { AccountStore, SessionStore } from './ports.ts'
import { ResilientDataStore, type ResilientDataStoreOptions } from './resilient-data-store.ts'

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

export interface DataStoreOptions {
  /** Longest duration of a call. SQLite answers immediately. */
  readonly deadlineMs: number
  /** Redis replicas that must have a change before it is acknowledged. */
  readonly replicas: number
  /** How long to wait for a store that is unavailable. */
  readonly openMs?: number
}

/**
 * Opens the data store of a URL and loads its driver.
 *
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
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

/**
 * Opens a data store for a process that serves requests: the start does not wait for the store.
 *
 * @throws `config_invalid`, `migration_failed`
 */
export function openResilientDataStore(
  url: string,
  cwd: string,
  {
    deadlineMs,
    replicas,
    ...options
  }: Omit<DataStoreOptions, 'openMs'> & ResilientDataStoreOptions,
): Promise<DataStore> {
  const open = () => openDataStore(url, cwd, { deadlineMs, replicas, openMs: 0 })
  return ResilientDataStore.open(open, options)
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

/** Reads `sqlite:<path>`, or `sqlite::memory:` for a database that lasts as long as the process. */
function sqlitePath(url: string, cwd: string): string {
  const path = url.slice('sqlite:'.length)
  return path === ':memory:' ? path : resolve(cwd, path)
}

/** Removes credentials and query from a URL, so that it can be shown. */
export function withoutSecrets(url: string): string {
  return url.replace(/(?<=:\/\/)[^@/]*@/, '…@').replace(/\?.*/, '')
}
