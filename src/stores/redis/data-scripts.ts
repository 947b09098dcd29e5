import { defineScript } from './client.ts'

/**
 * The field that marks the hash of an ended owner. No other field has this name. The fields of an owner
 * are one hash, on one slot; a field is its version, a zero byte and its value.
 */
export const endedMark = '!'

/** A function: whether a field has a version. */
const hasVersion = `
local function hasVersion(field, version)
  local length = #version
  return string.byte(field, length + 1) == 0 and string.sub(field, 1, length) == version
end
`

/**
 * Gets a field and checks the precondition: '*' for none, '' for absent, or '=' and the version. Redis
 * runs one script at a time and most of that is Lua, so the code calls and copies little.
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

/** KEYS owners; ARGV for each the number and the names of its fields. Returns values or an error each. */
export const readFieldsScript = defineScript(`
local answers, at = {}, 1
for n, key in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  answers[n] = redis.pcall('HMGET', key, unpack(ARGV, at + 1, last))
  at = last + 1
end
return answers
`)

/**
 * KEYS: the owners. ARGV: the encoded fields as one text; then for each owner the field, the
 * precondition, the encoded length, the maximum number of fields and the expiry in ms. Returns an
 * outcome or an error each. A repeated write succeeds.
 *
 * The fields are one argument, as the client writes each argument of bytes to the socket by itself.
 */
export const writeFieldsScript = defineScript(`
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

/** KEYS[1] the owner; ARGV the field and the precondition. */
export const removeFieldScript = defineScript(`
${hasVersion}
local key, at = KEYS[1], 0
${check}
if not isExpected then return 'conflict' end
return redis.call('HDEL', key, ARGV[1]) == 1 and 'removed' or 'absent'
`)

/** KEYS[1] the owner; ARGV until when writes are refused, in ms, or ''. */
export const endFieldsScript = defineScript(`
redis.call('UNLINK', KEYS[1])
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], '${endedMark}', '')
  redis.call('PEXPIREAT', KEYS[1], ARGV[1])
end
return 1
`)
