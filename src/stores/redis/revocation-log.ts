import type { Revocation } from '../ports.ts'
import type { RedisCall } from './call.ts'
import { scriptOf } from './session-scripts.ts'

/** Of the whole log. */
export const key = 'gp:revocations'

/**
 * Appends an entry, dated by Redis where the issuer's clock is behind. KEYS[1] the log; ARGV kind, id,
 * the issuer's time and how long the entry is kept, in ms.
 */
const appendScript = scriptOf(`
local time = redis.call('TIME')
local at = math.max(tonumber(ARGV[3]), time[1] * 1000 + math.floor(time[2] / 1000))
local function text(ms) return string.format('%.0f', ms) end
redis.call('XADD', KEYS[1], '*', 'kind', ARGV[1], 'id', ARGV[2],
  'at', text(at), 'expires', text(at + ARGV[4]))
return 1
`)

/**
 * The revocation log: one stream, whose ids are the positions. Redis makes them of its own clock and
 * never lets them fall, so they say the order and nothing else.
 *
 * A fail-over may lose the newest entries. A reader may have seen them, so its position may be ahead
 * of the log, and, where the clock of the new primary is behind, of what is appended later. Therefore a
 * reader goes on only from an entry that is there, and otherwise begins anew.
 */
export async function append(
  call: RedisCall,
  ...[kind, id, atMs, keptMs]: NewEntry
): Promise<void> {
  await call.script(appendScript, key, [kind, id, String(atMs), String(keptMs)])
}

export type NewEntry = [kind: Revocation['kind'], id: string, atMs: number, keptMs: number]

export async function entriesAfter(
  call: RedisCall,
  position: string,
  limit: number,
): Promise<Revocation[]> {
  const entries = (await following(call, position, limit)) ?? (await range(call, '-', limit))
  return entries.map(({ position, kind, id, at }) => ({
    position,
    kind: kind as Revocation['kind'],
    id: id ?? '',
    atMs: Number(at),
  }))
}

/** What is behind an entry; null when that has been removed, or lost, or never was. */
async function following(
  call: RedisCall,
  position: string,
  limit: number,
): Promise<Fields[] | null> {
  if (!/^\d{1,19}-\d{1,19}$/.test(position)) return null
  const [seen, ...entries] = await range(call, position, limit + 1)
  return seen?.position === position ? entries : null
}

/** Removes expired entries among the `limit` oldest; tells whether there may be more. */
export async function removeExpired(
  call: RedisCall,
  nowMs: number,
  limit: number,
): Promise<boolean> {
  const oldest = await range(call, '-', limit)
  const expired = oldest.filter(({ expires }) => Number(expires) <= nowMs)
  if (expired.length === 0) return false
  await call.command(key, ['XDEL', key, ...expired.map(({ position }) => position)])
  return expired.length === limit
}

/** Resolves when Redis answers for the log. */
export async function probe(call: RedisCall): Promise<void> {
  await range(call, '-', 1)
}

/** The time by the server that keeps the log. */
export async function clockMs(call: RedisCall): Promise<number> {
  const [seconds, microseconds] = (await call.command(key, ['TIME'])) as [Buffer, Buffer]
  return Number(String(seconds)) * 1000 + Number(String(microseconds)) / 1000
}

type Fields = Readonly<Record<string, string>> & { readonly position: string }

async function range(call: RedisCall, start: string, limit: number): Promise<Fields[]> {
  const reply = await call.command(key, ['XRANGE', key, start, '+', 'COUNT', String(limit)])
  return (reply as [Buffer, Buffer[]][]).map(toFields)
}

function toFields([position, fields]: [Buffer, Buffer[]]): Fields {
  const pairs: Record<string, string> = {}
  for (let n = 0; n + 1 < fields.length; n += 2) pairs[String(fields[n])] = String(fields[n + 1])
  return { ...pairs, position: String(position) }
}
