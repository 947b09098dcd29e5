import t from 'tap'
import { RedisCounterStore } from '../../../src/stores/redis/counter-store.ts'
import { patient } from '../../support/patience.ts'
import { startRedis } from '../../support/redis.ts'
import { counterStoreContract } from '../counter-store-contract.ts'

const server = await startRedis(t)

/** Shortens the expiry of all keys, as a test cannot change the clock of Redis. */
const ageKeys = `
  for _, key in ipairs(redis.call('KEYS', '*')) do
    redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
  end`

counterStoreContract(t, async (t) => {
  await server.ask('FLUSHALL')
  const open = async () => {
    const store = await RedisCounterStore.open(server.url, patient)
    t.teardown(() => store.close())
    return store
  }
  const wait = async (seconds: number) => {
    await server.ask('EVAL', ageKeys, '0', String(seconds * 1000))
  }
  const stored = async () => Number(await server.ask('DBSIZE'))
  return { open, wait, stored }
})
