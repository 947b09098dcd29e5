import { execFileSync } from 'node:child_process'
import { statfsSync, statSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import type { Bench } from '../../harness/scenario.ts'
import { served } from '../../harness/subjects.ts'
import { type IssuerSubject, issuerSubject } from '../../scenarios/issuer-subject.ts'
import { fillPostgres, fillRedis, fillSqlite } from '../../scenarios/sessions.ts'
import { startPostgres, withPostgres } from '../../stores/postgres.ts'
import { startRedis, usedMemory_bytes } from '../../stores/redis.ts'
import type { Figures } from '../result.ts'
import { formatSize, type SizedSubject, type Sweep } from '../sweep.ts'

/** So many of them come back in turn: about as many as are refreshed in a round. */
const refreshedCount = 32_768

/** Where the sessions of an issuer are, and how they get there. */
interface Place extends Pick<IssuerSubject, 'settings' | 'fill' | 'store'> {
  /** What its sessions take; asked when they are there. */
  size_bytes(template: string): number | Promise<number>
}

/** A store, and what a session may take of the machine while it is filled, with its log. */
interface SessionsOn {
  readonly store: string
  readonly memory_bytes: number
  readonly disk_bytes: number
  /** Starts it, and then makes places in it that hold nothing yet. */
  start(bench: Bench): Promise<() => Place | Promise<Place>>
}

const onSqlite: SessionsOn = {
  store: 'SQLite',
  memory_bytes: 600,
  disk_bytes: 600,
  start: async () => () => ({
    settings: {},
    fill: fillSqlite,
    size_bytes: (template) => statSync(join(template, '.gatepass/sessions.db')).size,
  }),
}

const onRedis: SessionsOn = {
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

const onPostgres: SessionsOn = {
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

export const sessionSweeps: readonly Sweep[] = [onSqlite, onPostgres, onRedis].map(sweepOf)

function sweepOf(one: SessionsOn): Sweep {
  return {
    name: `sessions-${one.store.toLowerCase()}`,
    title: `a refresh, and what a session takes, on ${one.store}`,
    of: 'sessions',
    sizes: [1e3, 1e4, 1e5, 1e6, 1e7],
    columns: [
      { key: 'cost_us', label: 'µs a refresh', digits: 1, tenfoldUnder: 1.1 },
      { key: 'issuer_us', label: 'of the issuer', digits: 1 },
      ...(one === onSqlite ? [] : [{ key: 'store_us', label: 'of the store', digits: 1 }]),
      { key: 'per_second', label: 'refreshes/s', digits: 0 },
      { key: 'p50_ms', label: 'p50 ms', digits: 2 },
      { key: 'p99_ms', label: 'p99 ms', digits: 2 },
      { key: 'bytes', label: 'bytes a session', digits: 0, tenfoldUnder: 1.1 },
    ],
    refuses: (size) => refusal(one, size),
    async prepare(sizes, bench, tell) {
      const makePlace = await one.start(bench)
      const subjects: SizedSubject[] = []
      for (const size of sizes) {
        tell(`storing ${formatSize(size)} sessions`)
        subjects.push(await sizedSubject(size, await makePlace(), bench))
      }
      // What has been laid out is on the disk before anything is measured.
      execFileSync('sync')
      return subjects
    },
  }
}

/** Why so many sessions are too many for this machine. */
function refusal({ memory_bytes, disk_bytes }: SessionsOn, size: number): string | null {
  if (size * memory_bytes > freemem()) return 'too little memory is free'
  const { bavail, bsize } = statfsSync('.')
  return size * disk_bytes > bavail * bsize ? 'too little of the disk is free' : null
}

async function sizedSubject(size: number, place: Place, bench: Bench): Promise<SizedSubject> {
  let bytes = 0
  const spec: IssuerSubject = {
    name: `issuer-${size}`,
    settings: place.settings,
    sessionCount: size,
    refreshedCount,
    isKept: true,
    ...(place.store !== undefined && { store: place.store }),
    async fill(sessions, template) {
      await place.fill(sessions, template)
      bytes = (await place.size_bytes(template)) / size
    },
  }
  const subject = served(await issuerSubject(spec, bench), bench)
  return {
    size,
    async measure(): Promise<Figures> {
      const { cost_us = 0, per_core_second = 0, ...readings } = await subject.measure()
      const issuer_us = 1e6 / per_core_second
      return { ...readings, cost_us, issuer_us, store_us: cost_us - issuer_us, bytes }
    },
  }
}
