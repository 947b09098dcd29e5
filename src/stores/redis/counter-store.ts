import type { CounterStore, CounterWindow } from '../counter-store.ts'
import { defineScript, RedisClient, type RedisOptions } from './client.ts'

/** Returns the count of KEYS[1], when its window ends, in ms since 1970, and the rest of it, in ms. */
const readScript = defineScript(`
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
return {count, redis.call('PEXPIRETIME', KEYS[1]), redis.call('PTTL', KEYS[1])}
`)

/**
 * Adds one event to KEYS[1]. ARGV: the length of a new window, and the longest rest of a window that counts,
 * in ms. Returns the same as `readScript`.
 */
const addScript = defineScript(`
local rest = redis.call('PTTL', KEYS[1])
if rest <= 0 or rest > tonumber(ARGV[2]) then redis.call('SET', KEYS[1], 0, 'PX', ARGV[1]) end
local count = redis.call('INCRBY', KEYS[1], 1)
return {count, redis.call('PEXPIRETIME', KEYS[1]), redis.call('PTTL', KEYS[1])}
`)

/** Takes one event of KEYS[1] back if its window ends at ARGV[1]. */
const takeBackScript = defineScript(`
if redis.call('PEXPIRETIME', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
if tonumber(redis.call('GET', KEYS[1])) > 1 then return redis.call('INCRBY', KEYS[1], -1) end
return redis.call('DEL', KEYS[1])
`)

/** Counters in Redis, beside the sessions. Their windows follow the clock of Redis. */
export class RedisCounterStore implements CounterStore {
  readonly #client: RedisClient

  private constructor(client: RedisClient) {
    this.#client = client
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: RedisOptions = {}): Promise<RedisCounterStore> {
    return new RedisCounterStore(await RedisClient.open(url, options))
  }

  async read(key: string): Promise<CounterWindow> {
    return toWindow(await this.#client.run((call) => call.script(readScript, storeKey(key), [])))
  }

  // An event must not count twice, so neither it nor its removal is repeated where it may have happened.

  async add(key: string, windowMs: number, maxWindowMs: number): Promise<CounterWindow> {
    const args = [String(windowMs), String(maxWindowMs)]
    return toWindow(
      await this.#client.run((call) => call.script(addScript, storeKey(key), args, false)),
    )
  }

  async takeBack(key: string, endsAtMs: number): Promise<void> {
    const args = [String(endsAtMs)]
    await this.#client.run((call) => call.script(takeBackScript, storeKey(key), args, false))
  }

  async reset(key: string): Promise<void> {
    await this.#client.run((call) => call.command(storeKey(key), ['DEL', storeKey(key)]))
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

function storeKey(key: string): string {
  return `gp:c:${key}`
}

function toWindow(reply: unknown): CounterWindow {
  const [count, endsAtMs, resetsInMs] = reply as [number, number, number]
  return { count, endsAtMs, resetsInMs }
}
