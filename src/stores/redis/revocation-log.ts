import { followUpMs, type Revocation } from '../ports.ts'
import { defineScript, type RedisCall } from './client.ts'
import { propertiesOf } from './connection.ts'

export const logKey = 'gp:revocations'

/**
 * Appends an entry, dated by Redis if the clock of the issuer is behind. KEYS[1] the log; ARGV kind, id,
 * the issuer's time and how long the entry is kept, in ms.
 */
const appendScript = defineScript(`
local time = redis.call('TIME')
local at = math.max(tonumber(ARGV[3]), time[1] * 1000 + math.floor(time[2] / 1000))
local function text(ms) return string.format('%.0f', ms) end
redis.call('XADD', KEYS[1], '*', 'kind', ARGV[1], 'id', ARGV[2],
  'at', text(at), 'expires', text(at + ARGV[4]))
return 1
`)

export interface NewEntry {
  readonly kind: Revocation['kind']
  readonly id: string
  readonly atMs: number
  /** How long the entry is kept. */
  readonly keptMs: number
}

// The revocation log is a stream whose ids are the positions. Redis derives them from its clock and never
// lets them decrease, so they give the order.

export async function appendEntry(call: RedisCall, entry: NewEntry): Promise<void> {
  const { kind, id, atMs, keptMs } = entry
  await call.script(appendScript, logKey, [kind, id, String(atMs), String(keptMs)])
}

/**
 * Returns the entries after a position. A fail-over may lose the newest entries. Then a position
 * may be ahead of the log, and, with a clock that is behind, ahead of later entries too. So a
 * reader continues only from an entry that exists, and otherwise starts again.
 */
export async function entriesAfter(
  call: RedisCall,
  position: string,
  limit: number,
): Promise<Revocation[]> {
  const entries = (await continueAfter(call, position, limit)) ?? (await range(call, '-', limit))
  return entries.map(({ position, kind, id, at, expires }) => ({
    position,
    kind: kind as Revocation['kind'],
    id: id ?? '',
    atMs: Number(at),
    expiresAtMs: Number(expires),
  }))
}

/** Returns null if there is no entry at the position. */
async function continueAfter(
  call: RedisCall,
  position: string,
  limit: number,
): Promise<Fields[] | null> {
  if (!/^\d{1,19}-\d{1,19}$/.test(position)) return null
  const [seen, ...entries] = await range(call, position, limit + 1)
  return seen?.position === position ? entries : null
}

/**
 * Removes expired entries among the `limit` oldest, up to the first that has not expired: a reader whose
 * entry is gone starts again. Returns whether there may be more.
 */
export async function removeExpiredEntries(
  call: RedisCall,
  nowMs: number,
  limit: number,
): Promise<boolean> {
  const oldest = await range(call, '-', limit)
  const kept = oldest.findIndex(({ expires }) => Number(expires) > nowMs - followUpMs)
  const expired = kept === -1 ? oldest : oldest.slice(0, kept)
  if (expired.length === 0) return false
  await call.command(logKey, ['XDEL', logKey, ...expired.map(({ position }) => position)])
  return expired.length === limit
}

/** Resolves if the server of the log responds. */
export async function pingLog(call: RedisCall): Promise<void> {
  await range(call, '-', 1)
}

/** Returns the time of the server that has the log. */
export async function logClockMs(call: RedisCall): Promise<number> {
  const [seconds, microseconds] = (await call.command(logKey, ['TIME'])) as [Buffer, Buffer]
  return Number(String(seconds)) * 1000 + Number(String(microseconds)) / 1000
}

type Fields = Readonly<Record<string, string>> & { readonly position: string }

async function range(call: RedisCall, start: string, limit: number): Promise<Fields[]> {
  const reply = await call.command(logKey, ['XRANGE', logKey, start, '+', 'COUNT', String(limit)])
  return (reply as [Buffer, Buffer[]][]).map(([position, fields]) => ({
    ...propertiesOf(fields),
    position: String(position),
  }))
}
