import t from 'tap'
import { startRedis } from '../../support/redis.ts'
import { newPerson, startReplicas } from './replicas.ts'

const rounds = 10

t.test('concurrent clicks at two replicas make one order', async (t) => {
  const shops = await startReplicas(t, 2, { GATEPASS_DATA_URL: (await startRedis(t)).url })
  const keysOf = {
    'with the same key': () => 'click',
    'with a key each': (n: number) => `click-${n}`,
    'without a key': () => undefined,
  }
  for (const [how, keyOf] of Object.entries(keysOf)) {
    await t.test(how, async (t) => {
      for (let round = 0; round < rounds; round += 1) {
        const ada = newPerson()
        await ada.add(shops[0], 'boots', 2)
        const clicks = await Promise.all(
          [0, 1, 2, 3].map((n) => ada.checkOut(shops[n % 2], keyOf(n))),
        )
        const [made, ...others] = clicks.filter(({ status }) => status === 201)
        t.ok(made)
        t.same(others, [], 'one click alone has made an order')
        for (const { status, body } of clicks) {
          if (status === 200) t.same(body, made?.body)
          // A click without the key of the first one finds an empty cart afterwards.
          else if (status !== 201) t.match(body, { status: 409, code: 'cart_empty' })
          if (how === 'with the same key') t.not(status, 409)
        }
        t.same((await ada.get(shops[1], '/orders')).body, { orders: [made?.body] })
        t.same(await ada.cart(shops[0]), {})
      }
    })
  }
})
