import { randomInt, randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { startRedis } from '../../support/redis.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { insist, newPerson, publishKeys, startReplica } from './replicas.ts'

const products = ['shirt', 'socks', 'mug', 'hat', 'lamp', 'bag']
const additionsEach = 60
const replicasCount = 4
const killsMax = 3

async function fillWhileReplicasDie(t: Test, store: string): Promise<void> {
  const env = { ...(await publishKeys(t)), GATEPASS_DATA_URL: store }
  const options = { cwd: createTestFolder(t), env }
  const start = (n: number) => startReplica(t, `shop-${n}`, options)
  const shops = await Promise.all(Array.from({ length: replicasCount }, (_, n) => start(n)))

  let acknowledged = 0
  let repeated = 0
  const kills: Promise<void>[] = []
  const total = additionsEach * products.length
  const killAt = Array.from({ length: killsMax }, (_, n) =>
    randomInt((n * total) / (killsMax + 1) + 1, ((n + 1) * total) / (killsMax + 1)),
  )
  async function killAndRestart(n: number): Promise<void> {
    await shops[n]?.process.stop('SIGKILL')
    shops[n] = await start(n)
  }

  const ada = newPerson()
  async function write(product: string, offset: number): Promise<void> {
    for (let n = 0; n < additionsEach; n += 1) {
      const key = randomUUID()
      const { tries, answer } = await insist(shops, n + offset, (shop) =>
        ada.add(shop, product, 1, key),
      )
      t.equal(answer.status, 200)
      acknowledged += 1
      if (tries > 1) repeated += 1
      if (acknowledged === killAt[kills.length]) kills.push(killAndRestart(kills.length))
    }
  }
  await Promise.all(products.map(write))
  await Promise.all(kills)

  t.equal(kills.length, killsMax)
  t.ok(repeated > 0, `${repeated} of ${acknowledged} additions were sent again`)
  const expected = Object.fromEntries(products.map((product) => [product, additionsEach]))
  // None was lost and none was doubled, and those that died know it again.
  for (const shop of shops) t.same(await ada.cart(shop), expected)
}

t.test('each addition counts once while replicas die, on Redis', async (t) => {
  await fillWhileReplicasDie(t, (await startRedis(t)).url)
})

t.test('each addition counts once while replicas die, on SQLite', (t) =>
  fillWhileReplicasDie(t, 'sqlite:data.db'),
)
