import { randomInt } from 'node:crypto'
import t from 'tap'
import { MemcachedDataStore } from '../../../src/stores/memcached/data-store.ts'
import { locate } from '../../../src/stores/memcached/owner-items.ts'
import { type MemcachedServer, startMemcached, urlOf } from '../../support/memcached.ts'
import { lateMs } from '../../support/patience.ts'
import { type Cart, DataLoad } from '../data-load.ts'

const deadlineMs = 1_000
const cartCount = 24

/** Tells whether a node has data of the owner of a cart. */
async function holds(node: MemcachedServer, cart: Cart | undefined): Promise<boolean> {
  if (cart === undefined) throw new Error('there is no cart')
  return /^HD/.test(await node.ask(`mg ${locate(cart.owner).indexKey}`, ''))
}

t.test('a node is killed and restarted while carts are filled', async (t) => {
  const nodes = await Promise.all([1, 2, 3].map(() => startMemcached(t)))
  const store = await MemcachedDataStore.open(urlOf(nodes.map(({ port }) => port)), { deadlineMs })
  t.teardown(() => store.close())
  const load = new DataLoad(t, store, cartCount)
  await load.untilAllAcknowledged()
  const [cart] = load.carts
  const places = await Promise.all(nodes.map((node) => holds(node, cart)))
  // Chosen by a cart, as each node holds none with some chance.
  const first = nodes[places.indexOf(true)]
  if (first === undefined) throw new Error('no node holds the cart')
  await load.untilAcknowledged(randomInt(1, 200))
  await first.kill()
  const killedAtMs = performance.now()
  await load.untilUnavailable()
  // The other nodes continue.
  await load.untilAcknowledged(300)
  const again = await startMemcached(t, { port: first.port })
  const backAtMs = performance.now()
  await load.untilAllAcknowledged()
  const { wrong, slowestMs, unavailable } = await load.stop()
  t.same(wrong, [])
  t.ok(unavailable > 0)
  t.ok(slowestMs < deadlineMs + lateMs, `the slowest took ${slowestMs} ms`)

  let forgotten = 0
  for (const cart of load.carts) {
    const items = await load.itemsOf(cart)
    if (!(await holds(again, cart))) {
      t.same(cart.lost(items), [], 'another node has kept all')
      continue
    }
    forgotten += 1
    t.same(cart.lost(items, { fromMs: backAtMs }), [], 'all since it is back')
    const before = cart.acknowledged.filter(({ atMs }) => atMs < killedAtMs)
    t.ok(before.length > 0)
    t.same(cart.lost(items, { toMs: killedAtMs }).length, before.length, 'and nothing from before')
  }
  t.ok(forgotten > 0 && forgotten < cartCount, `${forgotten} carts were on that node`)
})
