import { RateLimiterRedis } from 'rate-limiter-flexible'
import {
  type Counter,
  type CounterOptions,
  type CounterStore,
  createCounter,
} from '../counter-store.ts'
import { defineScript, RedisClient, type RedisOptions } from './client.ts'
import type { RedisReply } from './connection.ts'

/** Takes one event of KEYS[1] back. */
const takeBackScript = defineScript(`
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if count > 1 then return redis.call('INCRBY', KEYS[1], -1) end
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

  counter({ name, limit, windowSeconds }: CounterOptions): Counter {
    return createCounter(
      new RateLimiterRedis({
        storeClient: this.#limiterClient(),
        useRedisPackage: true,
        keyPrefix: `gp:c:${name}`,
        points: limit,
        duration: windowSeconds,
      }),
      async (key) => {
        await this.#client.run((call) => call.script(takeBackScript, key, [], false))
      },
    )
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  /** The part of a node-redis client that the library uses. */
  #limiterClient() {
    const command = (key: string, ...args: string[]): Promise<RedisReply> =>
      this.#client.run((call) => call.command(key, args))
    return {
      eval: (text: string, { keys: [key = ''], arguments: args }: EvalOptions) =>
        // Not repeatable: an event must not count twice.
        this.#client.run((call) => call.script(defineScript(text), key, args, false)),
      del: (key: string) => command(key, 'DEL', key),
      // The library uses a transaction only to read a count and the rest of its window.
      multi: () => ({
        get: (key: string) => ({
          pTTL: () => ({
            exec: async () => {
              const count = await command(key, 'GET', key)
              return count === null ? [null] : [String(count), await command(key, 'PTTL', key)]
            },
          }),
        }),
      }),
    }
  }
}

interface EvalOptions {
  readonly keys: readonly string[]
  readonly arguments: string[]
}
