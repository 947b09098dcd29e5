import { defineScript } from './client.ts'

/** Redis removes an expired row this much later, so that its clock may be ahead of those of issuers. */
export const expiryMarginMs = 60_000

/**
 * Replaces the rows KEYS that are as expected. ARGV for each: the expected row, the new row, and when
 * its session expires, in ms. Returns 1 for each that is replaced, otherwise 0. By an issuer's clock
 * that is behind, a row might have expired already.
 */
export const replaceScript = defineScript(`
local answers = {}
local now = redis.call('TIME')[1] * 1000
for n, key in ipairs(KEYS) do
  local at = 3 * n
  answers[n] = 0
  if redis.pcall('GET', key) == ARGV[at - 2] then
    local expiry = math.max(tonumber(ARGV[at]), now) + ${expiryMarginMs}
    redis.call('SET', key, ARGV[at - 1], 'PXAT', string.format('%.0f', expiry))
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
