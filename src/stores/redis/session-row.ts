import { expiryMarginMs, type Session } from '../ports.ts'
import { defineScript } from './client.ts'

/**
 * A session as one value of Redis. The head has all that a refresh or the end of the session changes. The
 * constant fields follow, most of them as readable JSON.
 *
 * Row and list entry cost 240 bytes beyond their keys. A hash would cost 780, as one field over 64 bytes
 * makes Redis give up its compact encoding.
 *
 * | byte | content |
 * | --- | --- |
 * | 0 | version of the layout: 1, plus 1 for a session bound to a key, plus 2 for a flag above 8 |
 * | 1 | flags: 1 presented, 4 the log lacks the revocation, 8 the end is unconfirmed, others below |
 * | 2 | generation, 5 bytes |
 * | 7, 13, 19, 25, 31 | minted, expires, ends, created, revoked (0 if not), 6 bytes each, ms |
 * | 37 | flag 2: the digest of the Idempotency-Key that minted the generation, 32 bytes |
 * | then | flag 16: the first and the last retry, 6 bytes each, ms |
 * | then | flag 32: the digest of the other key, 32 bytes |
 * | then | flag 64: the length of the replay keys, 1 byte, and the replay keys |
 * | then | flag 128: the late replay, 6 bytes, ms |
 * | then | version 2 or 4: the thumbprint of the key that the session is bound to, 32 bytes |
 * | then | `[sub, clientId, scope, amr, userAgent]` |
 *
 * An issuer refuses a session of an unknown version, so it neither skips the proof of a key nor loses a
 * field.
 */
const layout = {
  minVersion: 1,
  maxVersion: 4,
  /** Added to the version. */
  bound: 1,
  extended: 2,
  digestLength: 32,
  timeLength: 6,
} as const

const flags = {
  presented: 1,
  hasDigest: 2,
  lacksLogEntry: 4,
  isUnconfirmed: 8,
  hasRetries: 16,
  hasOtherKey: 32,
  hasReplayKeys: 64,
  hasLateReplay: 128,
} as const

/** The lowest flag that issuers of versions 1 and 2 do not know. */
const firstExtendedFlag = flags.hasRetries

const headerLength = 37

export function sessionKey(sid: string): string {
  return `gp:s:${sid}`
}

/** The largest time in six bytes, in the year 10889. It stands for `Number.MAX_SAFE_INTEGER`. */
const endlessMs = 2 ** 48 - 1

/** How far the end of a session has come. */
export interface EndState {
  /** Whether the session was reused and the revocation log has no entry for that. */
  readonly lacksLogEntry: boolean
  /** Whether the session was ended and replicas have not confirmed that. */
  readonly isEndUnconfirmed: boolean
}

/** All that a row says of a session. */
export interface StoredSession extends EndState {
  readonly session: Session
}

export function toStored(
  session: Session,
  { lacksLogEntry = false, isEndUnconfirmed = false }: Partial<EndState> = {},
): StoredSession {
  return { session, lacksLogEntry, isEndUnconfirmed }
}

/** @throws RangeError for times and generations that are out of range */
export function encodeRow(stored: StoredSession): Buffer {
  const { sub, clientId, scope, amr, userAgent, jkt } = stored.session
  return Buffer.concat([
    encodeHead(stored),
    Buffer.from(jkt ?? '', 'base64url'),
    Buffer.from(JSON.stringify([sub, clientId, scope, amr, abbreviate(userAgent)])),
  ])
}

/**
 * Encodes the part of a row that changes. Different parts differ before the end of the shorter one, because the
 * flags and the length of the replay keys determine the length.
 *
 * @throws RangeError for times and generations that are out of range
 */
export function encodeHead({ session, lacksLogEntry, isEndUnconfirmed }: StoredSession): Buffer {
  const { idempotencyKey, firstRetryAtMs, lastRetryAtMs, otherKey, replayKeys } = session
  const { lateReplayAtMs, jkt } = session
  const bits =
    (session.presented ? flags.presented : 0) |
    (lacksLogEntry ? flags.lacksLogEntry : 0) |
    (isEndUnconfirmed ? flags.isUnconfirmed : 0) |
    (idempotencyKey === null ? 0 : flags.hasDigest) |
    (firstRetryAtMs === null ? 0 : flags.hasRetries) |
    (otherKey === null ? 0 : flags.hasOtherKey) |
    (replayKeys === null ? 0 : flags.hasReplayKeys) |
    (lateReplayAtMs === null ? 0 : flags.hasLateReplay)
  const header = Buffer.alloc(headerLength)
  const version =
    layout.minVersion +
    (jkt === null ? 0 : layout.bound) +
    (bits < firstExtendedFlag ? 0 : layout.extended)
  header.writeUInt8(version, 0)
  header.writeUInt8(bits, 1)
  header.writeUIntBE(session.generation, 2, 5)
  header.writeUIntBE(session.mintedAtMs, 7, 6)
  header.writeUIntBE(Math.min(session.expiresAtMs, endlessMs), 13, 6)
  header.writeUIntBE(Math.min(session.endsAtMs, endlessMs), 19, 6)
  header.writeUIntBE(session.createdAtMs, 25, 6)
  header.writeUIntBE(session.revokedAtMs ?? 0, 31, 6)
  return Buffer.concat([
    header,
    idempotencyKey ?? none,
    encodeTime(firstRetryAtMs),
    encodeTime(lastRetryAtMs),
    otherKey ?? none,
    replayKeys === null ? none : Buffer.from([replayKeys.length, ...replayKeys]),
    encodeTime(lateReplayAtMs),
  ])
}

const none = Buffer.alloc(0)

function encodeTime(ms: number | null): Buffer {
  if (ms === null) return none
  const bytes = Buffer.alloc(layout.timeLength)
  bytes.writeUIntBE(ms, 0, layout.timeLength)
  return bytes
}

/** @throws an error for an unknown layout */
export function decodeRow(sid: string, row: Buffer): StoredSession {
  const version = row[0] ?? 0
  if (version < layout.minVersion || version > layout.maxVersion) {
    throw new Error(
      'A session was stored by a newer version of Gatepass. Start that version again.',
    )
  }
  const isBound = ((version - layout.minVersion) & layout.bound) !== 0
  const bits = row.readUInt8(1)
  let at = headerLength
  const bytes = (length: number) => {
    at += length
    return row.subarray(at - length, at)
  }
  const digest = (flag: number) =>
    (bits & flag) === 0 ? null : Buffer.from(bytes(layout.digestLength))
  const time = (flag: number) =>
    (bits & flag) === 0 ? null : bytes(layout.timeLength).readUIntBE(0, layout.timeLength)
  // In the order of the layout.
  const used = {
    presented: (bits & flags.presented) !== 0,
    idempotencyKey: digest(flags.hasDigest),
    firstRetryAtMs: time(flags.hasRetries),
    lastRetryAtMs: time(flags.hasRetries),
    otherKey: digest(flags.hasOtherKey),
    replayKeys: (bits & flags.hasReplayKeys) === 0 ? null : Buffer.from(bytes(bytes(1)[0] ?? 0)),
    lateReplayAtMs: time(flags.hasLateReplay),
    jkt: isBound ? bytes(layout.digestLength).toString('base64url') : null,
  }
  const rest: Rest = JSON.parse(row.toString('utf8', at))
  const [sub, clientId, scope, amr, userAgent] = rest
  const revokedAtMs = row.readUIntBE(31, 6)
  const session = {
    sid,
    sub,
    clientId,
    scope,
    amr,
    userAgent: expand(userAgent),
    createdAtMs: row.readUIntBE(25, 6),
    endsAtMs: decodeEnd(row.readUIntBE(19, 6)),
    expiresAtMs: decodeEnd(row.readUIntBE(13, 6)),
    generation: row.readUIntBE(2, 5),
    mintedAtMs: row.readUIntBE(7, 6),
    ...used,
    revokedAtMs: revokedAtMs === 0 ? null : revokedAtMs,
  }
  return {
    session,
    lacksLogEntry: (bits & flags.lacksLogEntry) !== 0,
    isEndUnconfirmed: (bits & flags.isUnconfirmed) !== 0,
  }
}

function decodeEnd(storedMs: number): number {
  return storedMs === endlessMs ? Number.MAX_SAFE_INTEGER : storedMs
}

type Rest = [sub: string, clientId: string, scope: string, amr: string[], userAgent: string]

/** Letters for texts in the User-Agent of most browsers. A letter never changes; more may be added. */
const abbreviations: readonly (readonly [letter: string, text: string])[] = [
  ['M', 'Mozilla/5.0 ('],
  ['K', ') AppleWebKit/537.36 (KHTML, like Gecko) Chrome/'],
  ['W', ' (KHTML, like Gecko) Version/'],
  ['S', ' Safari/537.36'],
]

/** Stands before a letter, or before itself. JSON does not escape it. */
const mark = '\x7f'

const textOf = new Map([[mark, mark], ...abbreviations])

/** Halves the length of the User-Agent of a browser. Any other text stays about as long. */
export function abbreviate(text: string): string {
  return abbreviations.reduce(
    (shorter, [letter, long]) => shorter.replace(long, mark + letter),
    text.replaceAll(mark, mark + mark),
  )
}

/** Reverses `abbreviate`. */
export function expand(text: string): string {
  if (!text.includes(mark)) return text
  return text.replaceAll(/\x7f(.)/gsu, (whole, letter) => textOf.get(letter) ?? whole)
}

/**
 * Replaces the heads of the rows KEYS that are as expected. ARGV for each: the lengths of the expected and of
 * the new head, and when its session expires, in ms. The last of ARGV has all heads, because the client
 * writes each argument of bytes separately. Returns 1 for each row that is replaced, otherwise 0. By an
 * issuer's clock that is behind, a row might have expired already.
 */
export const replaceScript = defineScript(`
local answers = {}
local now = redis.call('TIME')[1] * 1000
local heads, from = ARGV[#ARGV], 1
local function nextHead(length)
  from = from + length
  return string.sub(heads, from - length, from - 1)
end
for n, key in ipairs(KEYS) do
  local at = 3 * n
  local before, after = nextHead(ARGV[at - 2]), nextHead(ARGV[at - 1])
  local row = redis.pcall('GET', key)
  answers[n] = 0
  if type(row) == 'string' and string.sub(row, 1, #before) == before then
    local expiry = math.max(tonumber(ARGV[at]), now) + ${expiryMarginMs}
    local rest = string.sub(row, #before + 1)
    redis.call('SET', key, after .. rest, 'PXAT', string.format('%.0f', expiry))
    answers[n] = 1
  end
end
return answers
`)

/**
 * Adds a session to the list of its user. KEYS[1] the list; ARGV the sid, its latest end, and now, in
 * ms. Ended sessions are removed, and the list expires with its last session. Returns its length.
 */
export const addToListScript = defineScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', ARGV[3] - ${expiryMarginMs}))
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local expiry = ARGV[2] + ${expiryMarginMs}
if redis.call('PEXPIRETIME', KEYS[1]) < expiry then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expiry))
end
return redis.call('ZCARD', KEYS[1])
`)
