import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { RedisCounterStore } from '../../../src/stores/redis/counter-store.ts'
import { startRedis } from '../../support/redis.ts'
import { counterStoreContract } from '../counter-store-contract.ts'

const server = await startRedis(t)

counterStoreContract(t, async (t) => {
  await server.ask('FLUSHALL')
  const open = async () => {
    const store = await RedisCounterStore.open(server.url)
    t.teardown(() => store.close())
    return store
  }
  // Redis measures windows by its own clock, which no test can turn.
  return { open, wait: (seconds: number) => sleep(seconds * 1000) }
})
