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
const cartCount = 30

interface Fault {
  readonly url: string
  readonly primaries: readonly RedisServer[]
  readonly fault: 'kill' | 'freeze'
}

/** Fills carts while a primary of theirs fails at a random moment. No acknowledged item may be lost. */
async function losesNothing(t: Test, { url, primaries, fault }: Fault): Promise<void> {
  const store = closedWith(t, await RedisDataStore.open(url, { deadlineMs, replicas: 1 }))
  const load = new DataLoad(t, store, cartCount)
  await load.untilAllAcknowledged()
  const keys = `*${load.carts[0]?.owner.id}`
  const found = await Promise.all(primaries.map((one) => one.ask('KEYS', keys)))
  // Chosen by a cart, as each primary holds none with some chance.
  const primary = primaries[found.findIndex((keys) => (keys as string[]).length > 0)]
  if (primary === undefined) throw new Error('no primary holds the cart')
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
    await losesNothing(t, { url, primaries: [primary], fault })
  })

  t.test(`no acknowledged change is lost in a Cluster: ${fault}`, async (t) => {
    // The new primary has a replica as well.
    const { url, nodes } = await startCluster(t, { replicas: 2, nodeTimeoutMs: 2_000 })
    await demandReplicas(nodes)
    await losesNothing(t, { url, primaries: nodes.slice(0, 3), fault })
  })
}
