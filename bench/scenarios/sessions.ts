import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { randomId } from '../../src/core/secrets.ts'
import type { Session, SessionStore } from '../../src/stores/ports.ts'
import { PostgresSessionStore } from '../../src/stores/postgres/sessions.ts'
import { RedisSessionStore } from '../../src/stores/redis/sessions.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/sessions.ts'
import { withPostgres } from '../stores/postgres.ts'

const day_ms = 24 * 3600 * 1000
/** How many are written at once. */
const chunkLength = 1_000

/** A session as a login makes it, of a browser, and each of another user. */
export function newSession(): Session {
  const nowMs = Date.now()
  return {
    sid: randomId(),
    sub: randomUUID(),
    clientId: 'default',
    scope: 'data:read data:write',
    amr: ['pwd'],
    userAgent:
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
    createdAtMs: nowMs,
    endsAtMs: nowMs + 90 * day_ms,
    expiresAtMs: nowMs + 14 * day_ms,
    generation: 0,
    mintedAtMs: nowMs,
    presented: false,
    idempotencyKey: null,
    jkt: null,
    revokedAtMs: null,
  }
}

// Their ids are random, so that those that are written together end up far apart.

/** @param folder where an issuer runs */
export function fillSqlite(sessions: readonly Session[], folder: string): Promise<void> {
  return fill(new SqliteSessionStore(join(folder, '.gatepass/sessions.db')), sessions)
}

export async function fillRedis(sessions: readonly Session[], url: string): Promise<void> {
  await fill(await RedisSessionStore.open(url), sessions)
}

async function fill(store: SessionStore, sessions: readonly Session[]): Promise<void> {
  for (const chunk of chunksOf(sessions)) {
    await Promise.all(chunk.map((session) => store.create(session)))
  }
  await store.close()
}

/** By statements of many rows: one by one, a million would take minutes. */
export async function fillPostgres(sessions: readonly Session[], url: string): Promise<void> {
  // Makes the tables.
  await (await PostgresSessionStore.open(url)).close()
  await withPostgres(url, async (client) => {
    for (const chunk of chunksOf(sessions)) {
      await client.query(insertMany, [
        chunk.map(({ sid }) => sid),
        chunk.map(({ sub }) => sub),
        chunk.map(({ idempotencyKey }) => idempotencyKey),
        ...commonValues(chunk[0] ?? newSession()),
      ])
    }
    await client.query('VACUUM ANALYZE gatepass.sessions')
  })
}

const insertMany = `
  INSERT INTO gatepass.sessions (sid, sub, idempotency_key, client_id, scope, amr, user_agent,
    created_at_ms, ends_at_ms, expires_at_ms, minted_at_ms, generation, presented)
  SELECT sid, sub, idempotency_key, $4, $5, $6, $7, $8, $9, $10, $8, 0, FALSE
  FROM unnest($1::text[], $2::text[], $3::bytea[]) AS new (sid, sub, idempotency_key)`

/** What the sessions of a chunk have in common. */
function commonValues(session: Session): unknown[] {
  const { clientId, scope, amr, userAgent, createdAtMs, endsAtMs, expiresAtMs } = session
  return [clientId, scope, amr.join(' '), userAgent, createdAtMs, endsAtMs, expiresAtMs]
}

function* chunksOf(sessions: readonly Session[]): Generator<readonly Session[]> {
  for (let start = 0; start < sessions.length; start += chunkLength) {
    yield sessions.slice(start, start + chunkLength)
  }
}
