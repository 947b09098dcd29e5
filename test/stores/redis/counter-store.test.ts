import t from 'tap'
import { Counter } from '../../../src/stores/counter-store.ts'
import { RedisCounterStore } from '../../../src/stores/redis/counter-store.ts'
import { patient } from '../../support/patience.ts'
import { startRedis } from '../../support/redis.ts'
import { counterStoreContract } from '../counter-store-contract.ts'
import { startCounters } from './counters.ts'

const server = await startRedis(t)

counterStoreContract(t, (t) => startCounters(t, server, server.url))

t.test('a count from a clock that was ahead does not count', async (t) => {
  const store = await RedisCounterStore.open(server.url, patient)
  t.teardown(() => store.close())
  const counter = new Counter(store, { name: 'ahead', limit: 1, windowSeconds: 300 })
  await counter.add('a')
  await server.ask('PEXPIRE', 'gp:c:ahead:a', '350000')
  t.match(await counter.add('a'), { count: 2 }, 'the clocks of machines may differ')
  await server.ask('PEXPIRE', 'gp:c:ahead:a', '400000')
  t.equal(await counter.read('a'), null)
  const added = await counter.add('a')
  t.match(added, { count: 1, isWithinLimit: true })
  t.ok(added.resetsInMs <= 300_000)
})
