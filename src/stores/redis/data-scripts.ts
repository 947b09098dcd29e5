import { scriptOf } from './scripts.ts'

/**
 * The fields of an owner are one hash, so one slot. A field is its version, a zero byte, its value. No
 * field is named like the mark of an owner that has ended.
 */
export const endedMark = '!'

/** What a change expects, as it is told to a script. */
const check = `
local current = redis.call('HGET', KEYS[1], ARGV[1])
local version = current and string.sub(current, 1, string.find(current, '\\0', 1, true) - 1)
local function isExpected(how, wanted)
  if how == 'absent' then return not current end
  return how == 'any' or version == wanted
end
`

const extend = `
local function extend(expiry)
  if redis.call('PEXPIRETIME', KEYS[1]) < tonumber(expiry) then
    redis.call('PEXPIREAT', KEYS[1], expiry)
  end
end
`

/**
 * KEYS[1] the owner; ARGV the field, what is expected and its version, the new version, the value, how
 * many fields there may be, and the expiry in ms. A write that has been done already is done well.
 */
export const writeFieldScript = scriptOf(`${check}${extend}
if redis.call('HEXISTS', KEYS[1], '${endedMark}') == 1 then return 'ended' end
if version == ARGV[4] then return 'written' end
if not isExpected(ARGV[2], ARGV[3]) then return 'conflict' end
if not current and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4] .. '\\0' .. ARGV[5])
extend(ARGV[7])
return 'written'
`)

/** KEYS[1] the owner; ARGV the field, what is expected and its version. */
export const removeFieldScript = scriptOf(`${check}
if redis.call('HEXISTS', KEYS[1], '${endedMark}') == 1 then return 'ended' end
if not isExpected(ARGV[2], ARGV[3]) then return 'conflict' end
return redis.call('HDEL', KEYS[1], ARGV[1]) == 1 and 'removed' or 'absent'
`)

/** KEYS[1] the owner; ARGV the expiry in ms. */
export const touchFieldsScript = scriptOf(`${extend}
if redis.call('EXISTS', KEYS[1]) == 1 then extend(ARGV[1]) end
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
