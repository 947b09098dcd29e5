import { randomInt } from 'node:crypto'
import t, { type Test } from 'tap'
import { RedisDataStore } from '../../../src/stores/redis/data-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { lateMs } from '../../support/patience.ts'
import {
  demandReplicas,
  type RedisServer,
  startCluster,
  startSentinels,
} from '../../support/redis.ts'
import { DataLoad } from '../data-load.ts'

const deadlineMs = 1_000
/** Enough that each of three primaries holds some: one holds none with a chance of 5 in a million. */
const cartCount = 30

/** Fills carts while their primary fails at a random moment. No acknowledged item may be lost. */
async function losesNothing(
  t: Test,
  { url, primary, fault }: { url: string; primary: RedisServer; fault: 'kill' | 'freeze' },
): Promise<void> {
  const store = closedWith(t, await RedisDataStore.open(url, { deadlineMs, replicas: 1 }))
  const load = new DataLoad(t, store, cartCount)
  await load.untilAllAcknowledged()
  await load.untilAcknowledged(randomInt(1, 200))
  await primary[fault]()
  await load.untilUnavailable()
  await load.untilAllAcknowledged()
  // It returns as a replica of the new primary, without the writes that only it had.
  if (fault === 'freeze') primary.thaw()
  await load.untilAcknowledged(300)
  await load.untilAllAcknowledged()
  const { wrong, slowestMs, unavailable, acknowledged } = await load.stop()
  t.same(wrong, [])
  t.ok(slowestMs < deadlineMs + lateMs, `the slowest took ${slowestMs} ms`)
  for (const cart of load.carts) t.same(cart.lost(await load.itemsOf(cart)), [])
  t.comment(`${acknowledged} were acknowledged, ${unavailable} had no answer`)
}

for (const fault of ['kill', 'freeze'] as const) {
  t.test(`no acknowledged change is lost behind sentinels: ${fault}`, async (t) => {
    const { url, primary, replicas } = await startSentinels(t)
    await demandReplicas([primary, ...replicas])
    await losesNothing(t, { url, primary, fault })
  })

  t.test(`no acknowledged change is lost in a Cluster: ${fault}`, async (t) => {
    // The new primary has a replica as well.
    const { url, nodes } = await startCluster(t, { replicas: 2, nodeTimeoutMs: 2_000 })
    await demandReplicas(nodes)
    await losesNothing(t, { url, primary: nodes[0] as RedisServer, fault })
  })
}
