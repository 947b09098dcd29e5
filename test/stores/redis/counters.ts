import type { Test } from 'tap'
import { RedisCounterStore } from '../../../src/stores/redis/counter-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import type { RedisServer } from '../../support/redis.ts'
import type { CounterStoreContract } from '../counter-store-contract.ts'

/** Shortens the expiry of all keys, as a test cannot change the clock of Redis. */
const ageKeys = `
  for _, key in ipairs(redis.call('KEYS', '*')) do
    redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
  end`

/** Empties a Redis for the contract of counters. @param url of the user of the store */
export async function startCounters(
  t: Test,
  server: RedisServer,
  url: string,
): Promise<CounterStoreContract> {
  await server.ask('FLUSHALL')
  return {
    async open() {
      return closedWith(t, await RedisCounterStore.open(url, patient))
    },
    async wait(seconds) {
      await server.ask('EVAL', ageKeys, '0', String(seconds * 1000))
    },
    stored: async () => Number(await server.ask('DBSIZE')),
  }
}
