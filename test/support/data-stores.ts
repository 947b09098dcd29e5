import { join } from 'node:path'
import type { Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { MemcachedDataStore } from '../../src/stores/memcached/data-store.ts'
import { RedisDataStore } from '../../src/stores/redis/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { closedWith } from './closed-with.ts'
import { startMemcached, urlOf } from './memcached.ts'
import { patient } from './patience.ts'
import { startRedis } from './redis.ts'
import { createTestFolder } from './test-folder.ts'

/** Opens an empty store, which is closed when the test ends. */
export interface OpenStore {
  (t: Test): Promise<DataStore>
  /** Opens the same store again, like another replica. */
  again(t: Test): Promise<DataStore>
}

async function onSqlite(): Promise<OpenStore> {
  let path = ''
  const again = async (t: Test) => closedWith(t, new SqliteDataStore(path))
  const open = (t: Test) => {
    path = join(createTestFolder(t), randomId(), 'data.db')
    return again(t)
  }
  return Object.assign(open, { again })
}

async function onRedis(t: Test): Promise<OpenStore> {
  const server = await startRedis(t)
  const again = async (t: Test) => closedWith(t, await RedisDataStore.open(server.url, patient))
  const open = async (t: Test) => {
    await server.ask('FLUSHALL')
    return again(t)
  }
  return Object.assign(open, { again })
}

async function onMemcached(t: Test): Promise<OpenStore> {
  const nodes = await Promise.all([startMemcached(t), startMemcached(t)])
  const url = urlOf(nodes.map(({ port }) => port))
  const again = async (t: Test) => closedWith(t, await MemcachedDataStore.open(url, patient))
  const open = async (t: Test) => {
    await Promise.all(nodes.map((node) => node.ask('flush_all', 'OK')))
    return again(t)
  }
  return Object.assign(open, { again })
}

/** Every store of session data, each on a real server that ends with the test. */
export const dataStores: readonly (readonly [string, (t: Test) => Promise<OpenStore>])[] = [
  ['SQLite', onSqlite],
  ['Redis', onRedis],
  ['memcached', onMemcached],
]
