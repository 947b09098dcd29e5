import { mkdtempSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Session } from '../../../src/stores/ports.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { startPostgres } from '../stores/postgres.ts'
import { startRedis, usedMemory_bytes, withRedis } from '../stores/redis.ts'
import { postgresSize_bytes } from './session-places.ts'
import { fillPostgres, fillRedis, fillSqlite, newSession } from './sessions.ts'

/** Just below a power of two, where the tables of Redis are full: what it costs at its best. */
const sessionCount = 125_000
const beyondName = 'Redis, beyond its keys'
const beyondTarget_bytes = 300

export const sessionSize: Scenario = {
  name: 'session-size',
  title: `what a session takes in each store, of ${sessionCount.toLocaleString('en-US')} sessions of as many users`,
  async prepare(bench) {
    const sessions = Array.from({ length: sessionCount }, newSession)
    const redis = await startRedis(bench)
    const postgres = await startPostgres(bench)
    const inRedis = () => redisSize_bytes(redis.url, () => fillRedis(sessions, redis.url))
    const keys = () => redisSize_bytes(redis.url, () => setKeysOf(sessions, redis.url))
    let database = 0
    const inPostgres = async () => {
      const url = await postgres.createDatabase(`sizes_${++database}`)
      await fillPostgres(sessions, url)
      return postgresSize_bytes(url)
    }
    return {
      subjects: [
        sized('SQLite', () => sqliteSize_bytes(sessions, bench)),
        sized('Postgres', inPostgres),
        sized('Redis', inRedis),
        sized(beyondName, async () => (await inRedis()) - (await keys())),
      ],
      comparisons: [
        {
          subject: beyondName,
          metric: 'bytes_per_session',
          target: { under: beyondTarget_bytes },
        },
      ],
    }
  },
}

function sized(name: string, size_bytes: () => Promise<number>): Subject {
  const measure = async () => ({ bytes_per_session: (await size_bytes()) / sessionCount })
  return { name, measure }
}

async function sqliteSize_bytes(sessions: readonly Session[], bench: Bench): Promise<number> {
  const folder = mkdtempSync(join(bench.scratch, 'sqlite-'))
  await fillSqlite(sessions, folder)
  return statSync(join(folder, '.gatepass/sessions.db')).size
}

/** What an empty Redis takes more when this is done. */
async function redisSize_bytes(url: string, fill: () => Promise<void>): Promise<number> {
  await withRedis(url, (redis) => redis.flushAll('SYNC'))
  const before_bytes = await usedMemory_bytes(url)
  await fill()
  return (await usedMemory_bytes(url)) - before_bytes
}

/** The keys that the sessions have, with nothing in them: what they would cost whatever was stored. */
async function setKeysOf(sessions: readonly Session[], url: string): Promise<void> {
  await withRedis(url, async (redis) => {
    for (const { sid, sub, expiresAtMs } of sessions) {
      const expiration = { type: 'PXAT', value: expiresAtMs } as const
      redis.set(`gp:s:${sid}`, '', { expiration })
      await redis.set(`gp:u:${sub}`, '', { expiration })
    }
  })
}
