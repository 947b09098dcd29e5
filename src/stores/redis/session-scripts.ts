import { defineScript } from './client.ts'

/** Redis removes an expired row this much later, so that its clock may be ahead of those of issuers. */
export const expiryMarginMs = 60_000

/**
 * Replaces the row KEYS[1] if it is still ARGV[1]. ARGV[2] the new row, ARGV[3] when its session expires, in
 * ms. Returns 1 if it did. By an issuer's clock that is behind, the row might have expired already.
 */
export const replaceScript = defineScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local expires = math.max(tonumber(ARGV[3]), redis.call('TIME')[1] * 1000)
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', string.format('%.0f', expires + ${expiryMarginMs}))
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
