import { scriptOf } from './scripts.ts'

/**
 * The fields of an owner are one hash, so one slot. A field is its version, a zero byte, its value. No
 * field is named like the mark of an owner that has ended.
 */
export const endedMark = '!'

/**
 * Looks a field up, and whether the owner has ended; then whether the field is as expected. Redis runs
 * one script at a time, and more than half of what one takes is Lua: so it calls and copies little.
 */
const check = `
local found = redis.call('HMGET', KEYS[1], ARGV[1], '${endedMark}')
if found[2] then return 'ended' end
local current, how, wanted = found[1], ARGV[2], ARGV[3] .. '\\0'
local isExpected = how == 'any'
if how == 'absent' then isExpected = not current end
if how == 'is' then isExpected = current and string.sub(current, 1, #wanted) == wanted end
`

const extend = `
if redis.call('PEXPIRETIME', KEYS[1]) < tonumber(expiry) then
  redis.call('PEXPIREAT', KEYS[1], expiry)
end
`

/**
 * KEYS[1] the owner; ARGV the field, what is expected and its version, the new version, the value, how
 * many fields there may be, and the expiry in ms. A write that has been done already is done well.
 */
export const writeFieldScript = scriptOf(`${check}
local version, expiry = ARGV[4] .. '\\0', ARGV[7]
if not isExpected then
  if current and string.sub(current, 1, #version) == version then return 'written' end
  return 'conflict'
end
if not current and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], version .. ARGV[5])
${extend}
return 'written'
`)

/** KEYS[1] the owner; ARGV the field, what is expected and its version. */
export const removeFieldScript = scriptOf(`${check}
if not isExpected then return 'conflict' end
return redis.call('HDEL', KEYS[1], ARGV[1]) == 1 and 'removed' or 'absent'
`)

/** KEYS[1] the owner; ARGV the expiry in ms. */
export const touchFieldsScript = scriptOf(`
local expiry = ARGV[1]
if redis.call('EXISTS', KEYS[1]) == 1 then
  ${extend}
end
return 1
`)

/** KEYS[1] the owner; ARGV until when in ms, or '' for no longer than now. */
export const endFieldsScript = scriptOf(`
redis.call('UNLINK', KEYS[1])
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], '${endedMark}', '')
  redis.call('PEXPIREAT', KEYS[1], ARGV[1])
end
return 1
`)
