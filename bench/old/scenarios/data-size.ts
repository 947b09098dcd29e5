import { mkdtempSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { randomId } from '../../../src/core/secrets.ts'
import { DataService } from '../../../src/data/data-service.ts'
import type { OwnedFields } from '../../../src/data/owned-fields.ts'
import type { DataStore } from '../../../src/stores/data-store.ts'
import { openDataStore } from '../../../src/stores/open-stores.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { itemBytes, startMemcached } from '../stores/memcached.ts'
import { startRedis, usedMemory_bytes, withRedis } from '../stores/redis.ts'
import { audience, issuer } from './access-tokens.ts'

/** Just below a power of two, where the tables of Redis are full: what it costs at its best. */
const sessionCount = 16_000
/** As many at once as a store takes. */
const chunkLength = 200
/** JSON of so many bytes a field: a cart of a few lines, preferences and a step, and much. */
const contents = {
  'one field of 200 bytes': [200],
  'eight fields of 200 bytes': Array<number>(8).fill(200),
  'one field of 4 KiB': [4_096],
}

export const dataSize: Scenario = {
  name: 'data-size',
  title: `what session data takes in each store, of ${sessionCount.toLocaleString('en-US')} sessions`,
  async prepare(bench) {
    const redis = await startRedis(bench)
    const memcached = await startMemcached(bench)
    const sizes_bytes = {
      SQLite: (lengths: readonly number[]) => sqliteSize_bytes(lengths, bench),
      Redis: async (lengths: readonly number[]) => {
        await withRedis(redis.url, (client) => client.flushAll('SYNC'))
        return grownBy(
          () => usedMemory_bytes(redis.url),
          () => fill(redis.url, lengths),
        )
      },
      memcached: (lengths: readonly number[]) =>
        grownBy(
          () => itemBytes(memcached.url),
          () => fill(memcached.url, lengths),
        ),
    }
    const subjects = Object.entries(sizes_bytes).flatMap(([store, size_bytes]) =>
      Object.entries(contents).map(([what, lengths]) =>
        sized(`${store}, ${what}`, () => size_bytes(lengths)),
      ),
    )
    return { subjects, comparisons: [] }
  },
}

function sized(name: string, size_bytes: () => Promise<number>): Subject {
  const measure = async () => ({ bytes_per_session: (await size_bytes()) / sessionCount })
  return { name, measure }
}

async function sqliteSize_bytes(lengths: readonly number[], bench: Bench): Promise<number> {
  const file = join(mkdtempSync(join(bench.scratch, 'sqlite-')), 'data.db')
  await fill(`sqlite:${file}`, lengths)
  return statSync(file).size
}

async function grownBy(size_bytes: () => Promise<number>, work: () => Promise<void>) {
  const before = await size_bytes()
  await work()
  return (await size_bytes()) - before
}

/** As requests of so many sessions would: encrypted, with their versions, their ends and their keys. */
async function fill(url: string, lengths: readonly number[]): Promise<void> {
  const store = await openDataStore(url, '.', { deadlineMs: 10_000, replicas: 0 })
  for (let done = 0; done < sessionCount; done += chunkLength) {
    await Promise.all(newSessions(store).map((fields) => setAll(fields, lengths)))
  }
  await store.close()
}

const secrets = [randomId() + randomId()] as const
const lifetimes = { sessionMax_s: 90 * 86_400, accessTtl_s: 300, userTtl_s: 400 * 86_400 }

function newSessions(store: DataStore): OwnedFields[] {
  const clock = { nowMs: () => Date.now() }
  const data = new DataService({ ...lifetimes, store, secrets, clock })
  const now_s = Math.floor(Date.now() / 1000)
  const common = { iss: issuer, aud: audience, client_id: 'default', scope: '', iat: now_s }
  return Array.from({ length: chunkLength }, () => {
    const [sub, sid, jti] = [randomId(), randomId(), randomId()]
    return data.fieldsOf('session', { ...common, sub, sid, jti, exp: now_s + 300 })
  })
}

async function setAll(fields: OwnedFields, lengths: readonly number[]): Promise<void> {
  for (const [n, length] of lengths.entries()) {
    // Two of them are the quotes.
    await fields.set(`field_${n}`, 'x'.repeat(length - 2))
  }
}
