import { expiryMarginMs, type OneTimeStore, type OneTimeUse } from '../ports.ts'
import { defineScript, type RedisClient } from './client.ts'
import { ReplicatedWriter } from './replicated-writer.ts'

/**
 * Adds a value. KEYS[1] the value; ARGV the payload, its expiry, and when Redis removes it, in ms.
 * Returns 1 if there was none. A repeated call changes nothing, and writes so that replicas confirm it.
 */
const addScript = defineScript(`
local isNew = redis.call('HSETNX', KEYS[1], 'payload', ARGV[1])
if isNew == 1 then
  redis.call('HSET', KEYS[1], 'expires', ARGV[2])
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
else
  redis.call('HSET', KEYS[1], 'expires', unpack(redis.call('HMGET', KEYS[1], 'expires')))
end
return isNew
`)

/**
 * Takes a value. KEYS[1] the value; ARGV this use, and the time in ms. Returns the payload and the
 * first use of it.
 */
const takeScript = defineScript(`
local payload, expires, first = unpack(redis.call('HMGET', KEYS[1], 'payload', 'expires', 'taken'))
if not payload or tonumber(expires) <= tonumber(ARGV[2]) then return {} end
if not first or first == ARGV[1] then
  redis.call('HSET', KEYS[1], 'taken', ARGV[1])
  first = ARGV[1]
end
return {payload, first}
`)

const valueKey = (id: string) => `gp:o:${id}`

/** One-time values, beside the sessions: a hash each, which Redis removes. */
export abstract class RedisOneTimeStore implements OneTimeStore {
  protected readonly client: RedisClient
  protected readonly writer: ReplicatedWriter

  protected constructor(client: RedisClient) {
    this.client = client
    this.writer = new ReplicatedWriter(client)
  }

  async putOneTime(id: string, payload: string, expiresAtMs: number): Promise<void> {
    await this.#add(id, payload, expiresAtMs, true)
  }

  /** Not repeated where it may have happened: the claim of this caller would look like another's. */
  claimOnce(id: string, expiresAtMs: number): Promise<boolean> {
    return this.#add(id, '', expiresAtMs, false)
  }

  async findOneTime(id: string, nowMs: number): Promise<string | null> {
    const key = valueKey(id)
    const fields = ['payload', 'expires', 'taken']
    const reply = await this.client.run((call) => call.command(key, ['HMGET', key, ...fields]))
    const [payload, expires, taken] = reply as readonly (Buffer | null)[]
    const isFree = taken === null && Number(String(expires)) > nowMs
    return payload && isFree ? String(payload) : null
  }

  takeOneTime(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse> {
    const key = valueKey(id)
    return this.writer.change([key], async (call) => {
      const reply = await call.script(takeScript, key, [takenBy, String(nowMs)])
      const [payload, first] = (reply as readonly Buffer[]).map(String)
      if (payload === undefined || first === undefined) return { state: 'unknown' }
      if (first !== takenBy) return { state: 'used', payload, takenBy: first }
      return { state: 'first', payload }
    })
  }

  async deleteOneTime(id: string): Promise<void> {
    const key = valueKey(id)
    await this.writer.change([key], (call) => call.command(key, ['DEL', key]))
  }

  #add(id: string, payload: string, expiresAtMs: number, isRepeatable: boolean): Promise<boolean> {
    const key = valueKey(id)
    const args = [payload, String(expiresAtMs), String(expiresAtMs + expiryMarginMs)]
    return this.writer.change(
      [key],
      async (call) => (await call.script(addScript, key, args, isRepeatable)) === 1,
      isRepeatable,
    )
  }
}
