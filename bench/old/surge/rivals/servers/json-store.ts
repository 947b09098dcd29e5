import type { SharedRedis } from './shared-redis.ts'

/** Values in Redis that several replicas change: each change is a compare-and-set, and survives a fail-over. */
export class JsonStore {
  readonly #redis: SharedRedis
  readonly #ttl_s: number

  constructor(redis: SharedRedis, ttl_s: number) {
    this.#redis = redis
    this.#ttl_s = ttl_s
  }

  async get<T>(key: string, byDefault: T): Promise<T> {
    return decode(await this.#text(key), byDefault)
  }

  async set(key: string, value: unknown): Promise<void> {
    await this.#redis.sendSafely('SET', key, JSON.stringify(value), 'EX', String(this.#ttl_s))
  }

  async update<T>(key: string, byDefault: T, change: (value: T) => T): Promise<T> {
    for (;;) {
      const before = await this.#text(key)
      const value = change(decode(before, byDefault))
      const after = JSON.stringify(value)
      const set = await this.#redis.sendSafely(
        ...['EVAL', compareAndSet, '1', key, before, after, String(this.#ttl_s)],
      )
      if (set === 1) return value
    }
  }

  /** Empty where there is nothing. */
  async #text(key: string): Promise<string> {
    const text = await this.#redis.send('GET', key)
    return typeof text === 'string' ? text : ''
  }
}

const compareAndSet = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1`

function decode<T>(text: string, byDefault: T): T {
  return text === '' ? byDefault : (JSON.parse(text) as T)
}
