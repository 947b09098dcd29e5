import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../harness/scenario.ts'
import { startPostgres, withPostgres } from '../stores/postgres.ts'
import { startRedis, usedMemory_bytes } from '../stores/redis.ts'
import type { IssuerSubject } from './issuer-subject.ts'
import { fillPostgres, fillRedis, fillSqlite } from './sessions.ts'

/** Where the sessions of an issuer are, and how they get there. */
export interface SessionPlace extends Pick<IssuerSubject, 'settings' | 'fill' | 'store'> {
  /** What its sessions take; asked when they are there. */
  size_bytes(template: string): number | Promise<number>
}

/** A store, and what a session may take of the machine while it is filled, with its log. */
export interface SessionsOn {
  readonly store: string
  readonly memory_bytes: number
  readonly disk_bytes: number
  /** Starts it, and then makes places in it that hold nothing yet. */
  start(bench: Bench): Promise<() => SessionPlace | Promise<SessionPlace>>
}

export const onSqlite: SessionsOn = {
  store: 'SQLite',
  memory_bytes: 600,
  disk_bytes: 600,
  start: async () => () => ({
    settings: {},
    fill: fillSqlite,
    size_bytes: (template) => statSync(join(template, '.gatepass/sessions.db')).size,
  }),
}

export const onRedis: SessionsOn = {
  store: 'Redis',
  memory_bytes: 800,
  disk_bytes: 700,
  async start(bench) {
    const store = await startRedis(bench)
    let database = 0
    return async () => {
      const url = `${store.url}/${database++}`
      const before_bytes = await usedMemory_bytes(store.url)
      return {
        settings: { GATEPASS_SESSIONS_URL: url },
        fill: (sessions) => fillRedis(sessions, url),
        store,
        size_bytes: async () => (await usedMemory_bytes(store.url)) - before_bytes,
      }
    }
  },
}

export const onPostgres: SessionsOn = {
  store: 'Postgres',
  memory_bytes: 100,
  disk_bytes: 1_200,
  async start(bench) {
    const store = await startPostgres(bench)
    let database = 0
    return async () => {
      const url = await store.createDatabase(`sessions_${database++}`)
      return {
        settings: { GATEPASS_SESSIONS_URL: url },
        fill: (sessions) => fillPostgres(sessions, url),
        store,
        size_bytes: () => postgresSize_bytes(url),
      }
    }
  },
}

/** The table with its indexes, as it was filled. */
export function postgresSize_bytes(url: string): Promise<number> {
  const text = `SELECT pg_total_relation_size('gatepass.sessions')::float AS bytes`
  return withPostgres(url, async (client) => (await client.query(text)).rows[0]?.bytes)
}
