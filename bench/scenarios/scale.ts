import { randomBytes, randomUUID } from 'node:crypto'
import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { randomId } from '../../src/core/secrets.ts'
import { openSessionStore } from '../../src/stores/open-stores.ts'
import type { Session } from '../../src/stores/ports.ts'
import { newGeneration } from '../../src/stores/rotation.ts'
import { RefreshTokenCodec } from '../../src/tokens/refresh-token.ts'
import { inTurns } from '../harness/http.ts'
import { startProgram } from '../harness/processes.ts'
import type { Bench, Readings, Scenario, Subject } from '../harness/scenario.ts'
import { serverSubject } from '../harness/subjects.ts'
import { createIssuer, type Issuer, type StoreName, userName } from '../issuer.ts'
import { queryPostgres, withRedis } from '../stores.ts'

/** Costs at growing sizes. Each subject is ten times as large as its predecessor. */

/** Sessions that refresh in turn: about as many as refreshes in a round. */
const refreshedCount = 32_768
/** More than the refreshes of a session in a round. A higher generation is accepted as after a fail-over. */
const generationsOfRound = 100_000
/** Concurrent writes to a store. */
const writesAtOnce = 1_000
const day_ms = 24 * 3600 * 1000

function sessionScale(store: StoreName): Scenario {
  return {
    name: `scale-${store.toLowerCase()}`,
    title: `a refresh, and the size of a session, on ${store}`,
    async ours(bench) {
      const sizes = [1e3, 1e4, 1e5, 1e6, 1e7].filter((size) => size <= bench.options.maxSessions)
      return sizes.map((size) => sessionsOf(size, store, bench))
    },
  }
}

function sessionsOf(size: number, store: StoreName, bench: Bench): Subject {
  let sids: string[] = []
  let bytes_per_session = 0
  const settings = { GATEPASS_GRACE_S: '0' }
  const spec = { name: `${store}-${size}`, store, users: refreshedCount, settings }
  const issuer = createIssuer(spec, bench, async ({ sessionsUrl }) => {
    const before = await size_bytes(store, sessionsUrl)
    sids = await storeSessions(sessionsUrl, size, refreshedCount)
    bytes_per_session = ((await size_bytes(store, sessionsUrl)) - before) / size
  })
  const codec = new RefreshTokenCodec([Buffer.from(issuer.secret)])
  let round = 0
  const traffic = () => {
    const generation = generationsOfRound * round++
    return {
      dialect: 'json',
      tokens: sids.map((sid) => codec.mint({ sid, generation })),
    } as const
  }
  const name = `${size.toLocaleString('en-US')} sessions`
  const { measure } = serverSubject({ name, start: issuer.startInPlace, traffic }, bench)
  return { name, measure: async () => ({ ...(await measure()), bytes_per_session }) }
}

async function size_bytes(store: StoreName, url: string): Promise<number> {
  if (store === 'Redis') {
    const info = await withRedis(url, (redis) => redis.sendCommand(['INFO', 'memory']))
    return Number(/^used_memory:(\d+)/m.exec(String(info))?.[1])
  }
  if (store === 'Postgres') {
    const text = `SELECT pg_total_relation_size('gatepass.sessions')::float AS bytes`
    return (await queryPostgres(url, text)).rows[0]?.bytes
  }
  const file = url.slice('sqlite:'.length)
  const database = new DatabaseSync(file)
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
  return statSync(file).size
}

/**
 * Writes sessions directly into the store, because sign-ins would take hours.
 * @param sampleSize number of sessions with an account, spread over the store
 * @returns the ids of these sessions
 */
async function storeSessions(url: string, count: number, sampleSize: number): Promise<string[]> {
  const step = Math.max(1, Math.floor(count / sampleSize))
  const sids: string[] = []
  function* newSessions() {
    for (let n = 0; n < count; n++) {
      const isSampled = n % step === 0 && sids.length < sampleSize
      const session = newSession(isSampled ? userName(sids.length) : randomUUID())
      if (isSampled) sids.push(session.sid)
      yield session
    }
  }
  const store = await openSessionStore(url, '.')
  await inTurns(newSessions(), writesAtOnce, (session) => store.create(session))
  await store.close()
  return sids
}

const browserLogin = { clientId: 'default', amr: ['pwd'], jkt: null, scope: 'data:read data:write' }

/** A session like that of a browser login. */
function newSession(sub: string): Session {
  const nowMs = Date.now()
  return {
    ...browserLogin,
    sid: randomId(),
    sub,
    userAgent:
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
    createdAtMs: nowMs,
    endsAtMs: nowMs + 90 * day_ms,
    expiresAtMs: nowMs + 14 * day_ms,
    ...newGeneration(0, nowMs),
    revokedAtMs: null,
    // Browsers send a key with each refresh, and the store keeps its digest.
    idempotencyKey: randomBytes(32),
  }
}

/** Lifetime of access tokens, and of the entries in the feed. */
const kept_s = 3_600

const revocations: Scenario = {
  name: 'scale-revocations',
  title: 'a verifier that loads the keys and the revocations',
  async ours(bench) {
    const settings = { GATEPASS_ACCESS_TTL_S: String(kept_s) }
    return [1, 1e3, 1e4, 1e5].map((size) => {
      const spec = { name: `revocations-${size}`, users: 1, settings }
      const issuer = createIssuer(spec, bench, ({ sessionsUrl }) =>
        revokeSessions(sessionsUrl, size),
      )
      const name = `${size.toLocaleString('en-US')} revocations`
      return { name, measure: () => measureFeed(issuer, bench) }
    })
  },
}

/** Ends a number of sessions, each with an entry in the revocation log. */
async function revokeSessions(url: string, count: number): Promise<void> {
  const sids = await storeSessions(url, count, count)
  const store = await openSessionStore(url, '.')
  await inTurns(sids, writesAtOnce, (sid) => store.revoke(sid, Date.now(), 1000 * kept_s))
  await store.close()
}

async function measureFeed(issuer: Issuer, bench: Bench): Promise<Readings> {
  const server = await issuer.startInPlace()
  try {
    const snapshot = await (await fetch(`${server.url}/revocations`)).arrayBuffer()
    const verifier = startProgram('programs/revocations', [server.url], bench, { core: 'load' })
    const { load_ms } = await verifier.message<{ load_ms: number }>()
    await verifier.stop()
    return { load_ms, snapshot_bytes: snapshot.byteLength }
  } finally {
    await server.stop()
  }
}

export const scale: readonly Scenario[] = [
  ...(['SQLite', 'Postgres', 'Redis'] as const).map(sessionScale),
  revocations,
]
