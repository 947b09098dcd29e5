import { createHash } from 'node:crypto'
import { flags, layout } from './row.ts'

/** A Lua program that runs on one slot, alone and at once. */
export interface Script {
  readonly text: string
  /** The name that EVALSHA knows it by. */
  readonly sha: string
}

/**
 * How much later than a row has expired Redis removes it. By then it has expired for every replica,
 * though Redis's clock were ahead of theirs by almost as much.
 */
export const expiryMarginMs = 60_000

/** Reads and writes the row of KEYS[1] in the layout of row.ts. No script writes more than once. */
const row = `
local function load()
  local row = redis.call('GET', KEYS[1])
  if not row then return nil end
  local s, rest = {}, nil
  s.version, s.flags, s.generation, s.minted, s.expires, s.ends, s.created, s.revoked, rest =
    struct.unpack('${layout.header}', row)
  if s.version ~= ${layout.version} and s.version ~= ${layout.boundVersion} then
    error('a session has a layout that is not known')
  end
  s.presented = bit.band(s.flags, ${flags.presented}) ~= 0
  s.owesLogEntry = bit.band(s.flags, ${flags.owesLogEntry}) ~= 0
  s.isInDoubt = bit.band(s.flags, ${flags.isInDoubt}) ~= 0
  local restStart = rest
  if bit.band(s.flags, ${flags.hasDigest}) ~= 0 then restStart = rest + ${layout.digestLength} end
  s.digest = string.sub(row, rest, restStart - 1)
  s.rest = string.sub(row, restStart)
  if s.version == ${layout.boundVersion} then
    s.jkt = string.sub(row, restStart, restStart + ${layout.digestLength - 1})
  end
  return s, row
end

local function save(s)
  local bits = (s.presented and ${flags.presented} or 0) + (s.digest ~= '' and ${flags.hasDigest} or 0)
    + (s.owesLogEntry and ${flags.owesLogEntry} or 0) + (s.isInDoubt and ${flags.isInDoubt} or 0)
  local row = struct.pack('${layout.header}', s.version, bits, s.generation, s.minted,
    s.expires, s.ends, s.created, s.revoked) .. s.digest .. s.rest
  redis.call('SET', KEYS[1], row, 'PXAT', string.format('%.0f', s.expires + ${expiryMarginMs}))
  return row
end
`

/**
 * Invariant 4, the same rule as `decideRotation`, and told apart from it by no test.
 *
 * KEYS[1] the session; ARGV the presented generation, the digest of the Idempotency-Key or '', now,
 * grace, idle and revokedKept in ms, and the thumbprint of the key that the request has or ''.
 * Returns the outcome, and the row unless it is unknown.
 *
 * A session that was found reused stays `reused` until the revocation log has it (sessions.ts).
 */
export const rotateScript = scriptOf(`${row}
local s, row = load()
if not s then return {'unknown'} end
local digest = ARGV[2]
local presented, now, grace, idle, kept =
  tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

if s.revoked ~= 0 then return {s.owesLogEntry and 'reused' or 'revoked', row} end
if now >= s.expires then return {'expired', row} end
if s.jkt and s.jkt ~= ARGV[7] then return {'unproven', row} end

local withinGrace = math.max(0, now - s.minted) < grace
local ahead = presented - s.generation

local function mint(generation, isPresented)
  s.generation, s.minted, s.presented, s.digest = generation, now, isPresented, digest
  s.expires = math.min(now + idle, s.ends)
  return save(s)
end

if ahead > 0 then
  if grace == 0 then return {'rotated', mint(presented + 1, false)} end
  return {'replayed', mint(presented, true)}
end
if ahead == 0 then
  if not withinGrace then return {'rotated', mint(presented + 1, false)} end
  if s.presented then return {'replayed', row} end
  s.presented = true
  return {'replayed', save(s)}
end
local retriesLostAnswer = not s.presented and s.digest ~= '' and s.digest == digest
if ahead == -1 and retriesLostAnswer then return {'replayed', mint(s.generation, false)} end
if ahead == -1 and withinGrace then return {'replayed', row} end

s.revoked, s.expires, s.owesLogEntry = now, now + kept, true
return {'reused', save(s)}
`)

/**
 * Ends a session that the revocation log has heard of. KEYS[1] the session; ARGV now and how long
 * its row is kept, in ms. Returns 1 when it ended one that was live or whose end was in doubt, also
 * when it is asked again by the same request.
 */
export const revokeScript = scriptOf(`${row}
local now, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
local s = load()
if not s then return 0 end
if s.revoked ~= 0 then
  local isUnfinished = s.owesLogEntry or s.isInDoubt
  if isUnfinished then
    s.owesLogEntry, s.isInDoubt = false, false
    save(s)
  end
  return (isUnfinished or s.revoked == now) and 1 or 0
end
if now >= s.expires then return 0 end
s.revoked, s.expires = now, now + kept
save(s)
return 1
`)

/**
 * The same, for replicas to confirm: until `revokeScript` is run too, the end is in doubt. Of one that
 * has ended already the row is written anew, so that there is something that can be waited for.
 */
export const beginRevokeScript = scriptOf(`${row}
local now, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
local s = load()
if not s then return 0 end
if s.revoked ~= 0 then
  save(s)
  return (s.owesLogEntry or s.isInDoubt or s.revoked == now) and 1 or 0
end
if now >= s.expires then return 0 end
s.revoked, s.expires, s.isInDoubt = now, now + kept, true
save(s)
return 1
`)

/**
 * Notes a session among those of its user. KEYS[1] the user's; ARGV the sid, when it ends at the
 * latest, and now, in ms. Those that have ended leave, and all of it goes with the last one.
 */
export const indexScript = scriptOf(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', ARGV[3] - ${expiryMarginMs}))
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local expiry = ARGV[2] + ${expiryMarginMs}
if redis.call('PEXPIRETIME', KEYS[1]) < expiry then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expiry))
end
return 1
`)

/** Names a program. */
export function scriptOf(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}
