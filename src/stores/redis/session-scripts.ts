import { replayKeyBytes, replayKeysBytes } from '../rotation.ts'
import { defineScript } from './client.ts'
import { firstExtendedFlag, flags, layout } from './session-row.ts'

/** Redis removes an expired row this much later, so that its clock may be ahead of those of issuers. */
export const expiryMarginMs = 60_000

/** Reads and writes the row of KEYS[1] in the layout of session-row.ts. No script writes more than once. */
const row = `
local function load()
  local row = redis.call('GET', KEYS[1])
  if not row then return nil end
  local s, bits, at = {}, nil, nil
  s.version, bits, s.generation, s.minted, s.expires, s.ends, s.created, s.revoked, at =
    struct.unpack('${layout.header}', row)
  if s.version < ${layout.minVersion} or s.version > ${layout.maxVersion} then
    error('a session has an unknown layout')
  end
  s.isBound = bit.band(s.version - ${layout.minVersion}, ${layout.bound}) ~= 0
  local function has(flag) return bit.band(bits, flag) ~= 0 end
  local function bytes(isThere, length)
    if not isThere then return '' end
    at = at + length
    return string.sub(row, at - length, at - 1)
  end
  local function time(isThere)
    if isThere then return (struct.unpack('>I6', bytes(true, ${layout.timeLength}))) end
  end
  s.presented = has(${flags.presented})
  s.lacksLogEntry = has(${flags.lacksLogEntry})
  s.isUnconfirmed = has(${flags.isUnconfirmed})
  s.digest = bytes(has(${flags.hasDigest}), ${layout.digestLength})
  s.firstRetry = time(has(${flags.hasRetries}))
  s.lastRetry = time(has(${flags.hasRetries}))
  s.otherKey = bytes(has(${flags.hasOtherKey}), ${layout.digestLength})
  local count = bytes(has(${flags.hasReplayKeys}), 1)
  s.replayKeys = bytes(count ~= '', string.byte(count))
  s.lateReplay = time(has(${flags.hasLateReplay}))
  s.jkt = bytes(s.isBound, ${layout.digestLength})
  s.rest = string.sub(row, at)
  return s, row
end

local function save(s)
  local function time(ms) return ms and struct.pack('>I6', ms) or '' end
  local bits = (s.presented and ${flags.presented} or 0) + (s.digest ~= '' and ${flags.hasDigest} or 0)
    + (s.lacksLogEntry and ${flags.lacksLogEntry} or 0) + (s.isUnconfirmed and ${flags.isUnconfirmed} or 0)
    + (s.firstRetry and ${flags.hasRetries} or 0) + (s.otherKey ~= '' and ${flags.hasOtherKey} or 0)
    + (s.replayKeys ~= '' and ${flags.hasReplayKeys} or 0) + (s.lateReplay and ${flags.hasLateReplay} or 0)
  local version = ${layout.minVersion} + (s.isBound and ${layout.bound} or 0)
    + (bits >= ${firstExtendedFlag} and ${layout.extended} or 0)
  local row = struct.pack('${layout.header}', version, bits, s.generation, s.minted,
    s.expires, s.ends, s.created, s.revoked) .. s.digest .. time(s.firstRetry) .. time(s.lastRetry)
    .. s.otherKey .. (s.replayKeys ~= '' and string.char(#s.replayKeys) or '') .. s.replayKeys
    .. time(s.lateReplay) .. s.jkt .. s.rest
  local expires = s.expires
  if s.revoked ~= 0 then
    -- By an issuer's clock that is behind, the row of an ended session might have expired already.
    expires = math.max(expires, redis.call('TIME')[1] * 1000)
  end
  redis.call('SET', KEYS[1], row, 'PXAT', string.format('%.0f', expires + ${expiryMarginMs}))
  return row
end
`

/**
 * `decideRotation` on the session KEYS[1]. ARGV: the generation, the digest of the Idempotency-Key or '',
 * now, grace, idle and revokedKept in ms, the proven thumbprint or ''. Returns the outcome, and the row if
 * any. A reused session stays `reused` until the revocation log has an entry for it.
 */
export const rotateScript = defineScript(`${row}
local s, row = load()
if not s then return {'unknown'} end
local key = ARGV[2]
local shortKey = string.sub(key, 1, ${replayKeyBytes})
local presented, now, grace, idle, kept =
  tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

if s.revoked ~= 0 then return {s.lacksLogEntry and 'reused' or 'revoked', row} end
if now >= s.expires then return {'expired', row} end
if s.isBound and s.jkt ~= ARGV[7] then return {'unproven', row} end

local function isWithinGrace(since) return since ~= nil and math.max(0, now - since) < grace end
local function isKey(stored) return key ~= '' and stored == key end

local function mint(generation)
  s.generation, s.minted, s.presented, s.digest = generation, now, false, key
  s.firstRetry, s.lastRetry, s.otherKey, s.replayKeys, s.lateReplay = nil, nil, '', '', nil
  s.expires = math.min(now + idle, s.ends)
end
local function rotated()
  mint(presented + 1)
  return {'rotated', save(s)}
end
local function replayed(isChanged) return {'replayed', isChanged and save(s) or row} end
local function reused()
  s.revoked, s.expires, s.lacksLogEntry = now, now + kept, true
  return {'reused', save(s)}
end

local ahead = presented - s.generation
if ahead > 0 then
  if grace == 0 then return rotated() end
  mint(presented)
  s.presented, s.digest, s.replayKeys = true, '', shortKey
  return replayed(true)
end

if ahead == 0 then
  local isReplay = key ~= '' and string.find(s.replayKeys, shortKey, 1, true) ~= nil
  if isWithinGrace(s.minted) or isWithinGrace(s.lastRetry) then
    if s.presented and (isReplay or key == '') then return replayed(false) end
    s.presented = true
    if not isReplay then s.replayKeys = string.sub(shortKey .. s.replayKeys, 1, ${replayKeysBytes}) end
    return replayed(true)
  end
  if isReplay and not s.lateReplay then
    s.lateReplay = now
    return replayed(true)
  end
  if isReplay and isWithinGrace(s.lateReplay) then return replayed(false) end
  return rotated()
end

if ahead < -1 then return reused() end
local isRetry = isKey(s.digest)
if isRetry and not s.presented then
  s.firstRetry, s.lastRetry = s.firstRetry or now, now
  return replayed(true)
end
if isWithinGrace(s.minted) then return replayed(false) end
if isRetry then
  if isWithinGrace(s.lastRetry) then return replayed(false) end
  return reused()
end
if not isWithinGrace(s.firstRetry) then return reused() end
local otherKey = key ~= '' and key or string.rep('\\0', ${layout.digestLength})
if s.otherKey == '' then
  s.otherKey = otherKey
  return replayed(true)
end
if s.otherKey == otherKey then return replayed(false) end
return reused()
`)

/**
 * Ends a session that has an entry in the revocation log. KEYS[1] the session; ARGV now and how long its
 * row is kept, in ms. Returns 1 if the session was live or its end unconfirmed, also when repeated.
 */
export const revokeScript = defineScript(`${row}
local now, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
local s = load()
if not s then return 0 end
if s.revoked ~= 0 then
  local isUnfinished = s.lacksLogEntry or s.isUnconfirmed
  if isUnfinished then
    s.lacksLogEntry, s.isUnconfirmed = false, false
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
 * Like `revokeScript`, but the end stays unconfirmed until `revokeScript` runs too. The row of an ended
 * session is written again, so that `WAIT` covers it.
 */
export const revokeUnconfirmedScript = defineScript(`${row}
local now, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
local s = load()
if not s then return 0 end
if s.revoked ~= 0 then
  save(s)
  return (s.lacksLogEntry or s.isUnconfirmed or s.revoked == now) and 1 or 0
end
if now >= s.expires then return 0 end
s.revoked, s.expires, s.isUnconfirmed = now, now + kept, true
save(s)
return 1
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
