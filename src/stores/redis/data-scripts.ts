import { scriptOf } from './session-scripts.ts'

/**
 * The fields of an owner are one hash, so one slot. A field is its version, a zero byte, its value. No
 * field is named like the mark of an owner that has ended.
 */
export const endedMark = '!'

/** A function that tells whether a field has a version. */
const hasVersion = `
local function hasVersion(field, version)
  local length = #version
  return string.byte(field, length + 1) == 0 and string.sub(field, 1, length) == version
end
`

/**
 * Looks a field up, and whether the owner has ended; then whether the field is as expected: '*' for
 * anything, '' for absent, or '=' and the version. Redis runs one script at a time, and more than half of
 * what one takes is Lua: so it calls and copies little.
 */
const check = `
local found = redis.pcall('HMGET', key, ARGV[at + 1], '${endedMark}')
if found.err then return found end
if found[2] then return 'ended' end
local current, expected = found[1], ARGV[at + 2]
local isExpected = expected == '*'
if expected == '' then
  isExpected = not current
elseif current and not isExpected then
  isExpected = hasVersion(current, string.sub(expected, 2))
end
`

/**
 * KEYS owners; ARGV for each how many fields, and their names. Answers for each with their values, or
 * with what is wrong with that one.
 */
export const readFieldsScript = scriptOf(`
local answers, at = {}, 1
for n, key in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  answers[n] = redis.pcall('HMGET', key, unpack(ARGV, at + 1, last))
  at = last + 1
end
return answers
`)

/**
 * KEYS owners; ARGV what is to be stored, one after the other, and for each owner the field, what is
 * expected, how long what is to be stored is, how many fields there may be, and the expiry in ms. A write
 * that has been done already is done well. Answers for each, as above.
 *
 * What is to be stored is one argument because a client writes each argument of bytes by itself.
 */
export const writeFieldsScript = scriptOf(`
${hasVersion}
local function write(key, at, from, to)
  ${check}
  local new = string.sub(ARGV[1], from, to)
  if not isExpected then return current == new and 'written' or 'conflict' end
  local others = current and 1 or redis.call('HLEN', key)
  if not current and others >= tonumber(ARGV[at + 4]) then return 'full' end
  redis.call('HSET', key, ARGV[at + 1], new)
  if others == 0 then
    redis.call('PEXPIREAT', key, ARGV[at + 5])
  else
    redis.call('PEXPIREAT', key, ARGV[at + 5], 'GT')
  end
  return 'written'
end
local answers, at, read = {}, 1, 0
for n, key in ipairs(KEYS) do
  local to = read + tonumber(ARGV[at + 3])
  answers[n] = write(key, at, read + 1, to)
  at, read = at + 5, to
end
return answers
`)

/** KEYS[1] the owner; ARGV the field, what is expected. */
export const removeFieldScript = scriptOf(`
${hasVersion}
local key, at = KEYS[1], 0
${check}
if not isExpected then return 'conflict' end
return redis.call('HDEL', key, ARGV[1]) == 1 and 'removed' or 'absent'
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
