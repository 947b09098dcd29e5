import { RateLimiterRedis } from 'rate-limiter-flexible'
import {
  type Counter,
  type CounterOptions,
  type CounterStore,
  createCounter,
} from '../counter-store.ts'
import type { RedisLink } from './client.ts'
import type { RedisReply } from './connection.ts'
import { openLink, type RedisOptions } from './open.ts'
import { type Script, scriptOf } from './session-scripts.ts'

/** Counters in Redis, beside the sessions. Redis measures their windows and removes them. */
export class RedisCounterStore implements CounterStore {
  readonly #link: RedisLink

  private constructor(link: RedisLink) {
    this.#link = link
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: RedisOptions = {}): Promise<RedisCounterStore> {
    return new RedisCounterStore(await openLink(url, options))
  }

  counter({ name, limit, window_s }: CounterOptions): Counter {
    return createCounter(
      new RateLimiterRedis({
        storeClient: this.#asClient(),
        useRedisPackage: true,
        keyPrefix: `gp:c:${name}`,
        points: limit,
        duration: window_s,
      }),
    )
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  /** What the library uses of a client of node-redis, within our deadlines. */
  #asClient() {
    const scripts = new Map<string, Script>()
    const known = (text: string): Script => {
      const script = scripts.get(text) ?? scriptOf(text)
      scripts.set(text, script)
      return script
    }
    const command = (key: string, ...args: string[]): Promise<RedisReply> =>
      this.#link.run((call) => call.command(key, args))
    return {
      eval: (text: string, { keys: [key = ''], arguments: args }: EvalOptions) =>
        // Not repeated: what may have been counted must not be counted twice.
        this.#link.run((call) => call.script(known(text), key, args, false)),
      del: (key: string) => command(key, 'DEL', key),
      // Of a transaction the library only reads a count and what is left of its window.
      multi: () => ({
        get: (key: string) => ({
          pTTL: () => ({
            exec: async () => {
              const [count, ttlMs] = await Promise.all([
                command(key, 'GET', key),
                command(key, 'PTTL', key),
              ])
              return [count === null ? null : String(count), ttlMs]
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
