import t, { type Test } from 'tap'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { patient } from '../../support/patience.ts'
import { startCluster, startRedis, startSentinels } from '../../support/redis.ts'
import { sessionStoreContract } from '../session-store-contract.ts'
import { sessionWorld } from '../session-world.ts'

/** Tests the contract on servers that are emptied before each test. */
function contract(t: Test, url: string, empty: () => Promise<unknown>): void {
  const open = async () => {
    await empty()
    return RedisSessionStore.open(url, patient)
  }
  sessionStoreContract(t, open, { expiresByItself: true })
  sessionWorld(t, async () => {
    const store = await open()
    // Creating a session again discards later writes.
    return { store, rollBack: (session) => store.create(session) }
  })
}

t.test('one server', async (t) => {
  const server = await startRedis(t)
  contract(t, server.url, () => server.ask('FLUSHALL'))
})

t.test('a Cluster', async (t) => {
  const cluster = await startCluster(t)
  contract(t, cluster.url, cluster.empty)
})

t.test('Sentinel', async (t) => {
  const { url, primary } = await startSentinels(t)
  contract(t, url, () => primary.ask('FLUSHALL'))
})
