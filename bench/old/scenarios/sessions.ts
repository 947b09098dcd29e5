import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { randomId } from '../../../src/core/secrets.ts'
import type { Session } from '../../../src/stores/ports.ts'
import { PostgresSessionStore } from '../../../src/stores/postgres/session-store.ts'
import { encodeSession } from '../../../src/stores/redis/session-row.ts'
import { expiryMarginMs } from '../../../src/stores/redis/session-scripts.ts'
import { newGeneration } from '../../../src/stores/rotation.ts'
import { numberOf } from '../../../src/stores/sqlite/session-schema.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { withPostgres } from '../stores/postgres.ts'

const day_ms = 24 * 3600 * 1000
/** How many are written at once. */
const chunkLength = 1_000
/** Taken as it is needed; holds the pages of ten million. */
const sqliteCache_kib = 8 * 1024 ** 2

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
    // A browser sends an Idempotency-Key with each refresh. The store keeps its digest.
    ...newGeneration(0, nowMs, randomBytes(32)),
    jkt: null,
    revokedAtMs: null,
  }
}

// Their ids are random, so that those that are written together end up far apart. They are written
// past the stores, into what the stores have made: one by one, ten million would take hours.

/**
 * By one transaction that nothing could undo, on all pages in memory.
 * @param folder where an issuer runs
 */
export async function fillSqlite(sessions: Iterable<Session>, folder: string): Promise<void> {
  const path = join(folder, '.gatepass/sessions.db')
  await new SqliteSessionStore(path).close()
  const db = new DatabaseSync(path)
  db.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
    PRAGMA cache_size = -${sqliteCache_kib}; BEGIN EXCLUSIVE`)
  const insert = db.prepare(insertOne)
  for (const session of sessions) {
    const { sid, sub, idempotencyKey } = session
    insert.run(sid, sub, idempotencyKey, ...commonValues(session), numberOf(sid))
  }
  db.exec('COMMIT; PRAGMA journal_mode = WAL')
  db.close()
}

const insertOne = `
  INSERT INTO sessions (number, sid, sub, idempotency_key, client_id, scope, amr, user_agent,
    created_at_ms, ends_at_ms, expires_at_ms, minted_at_ms, generation, presented)
  VALUES (?11, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?8, 0, 0)`

/** By commands without replies. */
export async function fillRedis(sessions: Iterable<Session>, url: string): Promise<void> {
  // Which database of the server it is, the client knows how to say.
  const { hostname, port, pathname } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const send = async (text: string) => {
    if (!socket.write(text, 'latin1')) await once(socket, 'drain')
  }
  await send(redisCommand('CLIENT', 'REPLY', 'OFF'))
  await send(redisCommand('SELECT', pathname.slice(1) || '0'))
  for (const chunk of chunksOf(sessions)) await send(chunk.map(redisCommands).join(''))
  const answered = once(socket, 'data')
  await send(redisCommand('CLIENT', 'REPLY', 'ON'))
  await answered
  socket.destroy()
}

/** What the store does for a new session. */
function redisCommands(session: Session): string {
  const { sid, sub, endsAtMs, expiresAtMs } = session
  const user = `gp:u:${sub}`
  const row = encodeSession(session).toString('latin1')
  const expiry = String(expiresAtMs + expiryMarginMs)
  return [
    redisCommand('SET', `gp:s:${sid}`, row, 'PXAT', expiry),
    redisCommand('ZADD', user, String(endsAtMs), sid),
    redisCommand('PEXPIREAT', user, String(endsAtMs + expiryMarginMs)),
  ].join('')
}

/** In the protocol of Redis, one byte a character. */
function redisCommand(...parts: readonly string[]): string {
  const texts = parts.map((part) => `$${part.length}\r\n${part}\r\n`)
  return `*${parts.length}\r\n${texts.join('')}`
}

/** By statements of many rows. */
export async function fillPostgres(sessions: Iterable<Session>, url: string): Promise<void> {
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

/** What sessions that were made together have in common. */
function commonValues(session: Session): (string | number)[] {
  const { clientId, scope, amr, userAgent, createdAtMs, endsAtMs, expiresAtMs } = session
  return [clientId, scope, amr.join(' '), userAgent, createdAtMs, endsAtMs, expiresAtMs]
}

function* chunksOf(sessions: Iterable<Session>): Generator<Session[]> {
  let chunk: Session[] = []
  for (const session of sessions) {
    chunk.push(session)
    if (chunk.length < chunkLength) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
