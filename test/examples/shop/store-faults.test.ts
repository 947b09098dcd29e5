import { randomInt, randomUUID } from 'node:crypto'
import t from 'tap'
import { lateMs } from '../../support/patience.ts'
import { startRedis, startSentinels } from '../../support/redis.ts'
import { until } from '../../support/until.ts'
import { insist, newPerson, startReplicas } from './replicas.ts'

const products = ['shirt', 'socks', 'mug', 'hat']
const additionsEach = 25
const deadlineMs = 500

t.test('each addition counts once while the primary store dies', async (t) => {
  const { url, primary, replicas } = await startSentinels(t)
  for (const server of [primary, ...replicas]) {
    await server.ask('CONFIG', 'SET', 'min-replicas-to-write', '1')
  }
  const shops = await startReplicas(t, 2, {
    GATEPASS_DATA_URL: url,
    GATEPASS_DATA_REPLICAS: '1',
    GATEPASS_DATA_DEADLINE_MS: String(deadlineMs),
  })
  const people = [newPerson(), newPerson(), newPerson()]
  const killAt = randomInt(20, (people.length * products.length * additionsEach) / 2)
  let acknowledged = 0
  let repeated = 0
  let killing: Promise<unknown> | null = null
  async function fill(person: (typeof people)[number], product: string): Promise<void> {
    for (let n = 0; n < additionsEach; n += 1) {
      const key = randomUUID()
      const { tries, answer } = await insist(shops, n, (shop) => person.add(shop, product, 1, key))
      t.equal(answer.status, 200)
      acknowledged += 1
      if (tries > 1) repeated += 1
      if (acknowledged === killAt) killing = primary.kill()
    }
  }
  await Promise.all(people.flatMap((person) => products.map((product) => fill(person, product))))
  await killing
  t.ok(repeated > 0, `${repeated} of ${acknowledged} additions were sent again`)
  const expected = Object.fromEntries(products.map((product) => [product, additionsEach]))
  for (const person of people) {
    for (const shop of shops) t.same(await person.cart(shop), expected)
  }
})

t.test('a silent store: 503 in time, then immediately; the catalogue keeps working', async (t) => {
  const redis = await startRedis(t)
  const [shop] = await startReplicas(t, 1, {
    GATEPASS_DATA_URL: redis.url,
    GATEPASS_DATA_DEADLINE_MS: String(deadlineMs),
  })
  const ada = newPerson()
  // On a loaded machine the store may miss the deadline.
  const key = randomUUID()
  const { answer } = await insist([shop], 0, () => ada.add(shop, 'mug', 1, key))
  t.equal(answer.status, 200)
  redis.freeze()
  const timed = async () => {
    const startedAtMs = performance.now()
    const answer = await ada.get(shop, '/cart')
    t.match(answer, { status: 503, body: { code: 'store_unavailable' } })
    t.ok(Number(answer.headers.get('retry-after')) >= 1)
    return performance.now() - startedAtMs
  }
  const times = await Promise.all(Array.from({ length: 20 }, timed))
  for (const tookMs of times) {
    t.ok(tookMs > deadlineMs - 50 && tookMs < deadlineMs + lateMs, `${tookMs} ms`)
  }
  await until('the shop does not wait for the store', async () => (await timed()) < deadlineMs / 2)
  t.equal((await ada.get(shop, '/products')).status, 200)
  redis.thaw()
  await until('it answers again', async () => (await ada.get(shop, '/cart')).status === 200)
  t.same(await ada.cart(shop), { mug: 1 })
})
