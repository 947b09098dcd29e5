import { resolve } from 'node:path'
import { GatepassError } from '../core/errors.ts'
import type { DataStore } from './data-store.ts'
import { ResilientDataStore, type ResilientDataStoreOptions } from './resilient-data-store.ts'

export interface DataStoreOptions {
  /** Longest duration of a call. SQLite has its own, for a file that another process has locked. */
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
  if (replicas > 0) {
    throw new GatepassError('config_invalid', {
      detail:
        'Only a Redis has replicas that confirm changes. Set replicas to 0 for another store.',
    })
  }
  if (isMemcached(url)) {
    const { MemcachedDataStore } = await import('./memcached/data-store.ts')
    return MemcachedDataStore.open(url, { ...options, cwd })
  }
  if (!/^sqlite:./.test(url)) {
    throw new GatepassError('config_invalid', {
      detail:
        'The URL of a data store must start with sqlite:, redis: or memcached:, or with a variant of these.',
    })
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

export function isRedis(url: string): boolean {
  return url.startsWith('redis')
}

export function isMemcached(url: string): boolean {
  return url.startsWith('memcached')
}

/** Reads `sqlite:<path>`, or `sqlite::memory:` for a database that lasts as long as the process. */
export function sqlitePath(url: string, cwd: string): string {
  const path = url.slice('sqlite:'.length)
  return path === ':memory:' ? path : resolve(cwd, path)
}
