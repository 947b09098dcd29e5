import { randomUUID } from 'node:crypto'
import t from 'tap'
import { startMemcached } from '../../support/memcached.ts'
import { startRedis } from '../../support/redis.ts'
import { newPerson, startReplicas } from './replicas.ts'

const stores = {
  SQLite: async () => 'sqlite:data.db',
  Redis: async (t: Parameters<typeof startRedis>[0]) => (await startRedis(t)).url,
  // A cache, but one that keeps what was acknowledged while it is neither full nor restarted.
  memcached: async (t: Parameters<typeof startMemcached>[0]) => (await startMemcached(t)).url,
}

for (const [name, start] of Object.entries(stores)) {
  t.test(`200 additions at once at four replicas, none lost, on ${name}`, async (t) => {
    const shops = await startReplicas(t, 4, { GATEPASS_DATA_URL: await start(t) })
    const ada = newPerson()
    const products = ['shirt', 'socks', 'mug']
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        // Every fourth has a key; with it or without, each counts.
        ada.add(shops[n % 4], products[n % 3] ?? '', 1, n % 4 === 0 ? randomUUID() : undefined),
      ),
    )
    t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
    t.equal(new Set(answers.map(({ headers }) => headers.get('x-replica'))).size, 4)
    for (const shop of shops) t.same(await ada.cart(shop), { shirt: 67, socks: 67, mug: 66 })
  })
}
