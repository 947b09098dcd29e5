import t, { type Test } from 'tap'
import { TestProcess } from '../../support/processes.ts'
import { addUser, serviceEnv, signIn } from '../../support/services.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { until } from '../../support/until.ts'
import { dataSecret, personWith, startReplica } from './replicas.ts'

/** A real issuer, and two replicas that follow its revocations. */
async function start(t: Test) {
  const cwd = createTestFolder(t)
  const data = { GATEPASS_DATA_URL: 'sqlite:data.db', GATEPASS_DATA_SECRET: dataSecret }
  const env = { ...serviceEnv, ...data }
  await addUser({ cwd, env })
  const { url: issuer } = await TestProcess.start(t, ['issuer'], { cwd, env }).ready()
  const shopEnv = {
    ...data,
    GATEPASS_JWKS_URL: `${issuer}/.well-known/jwks.json`,
    GATEPASS_REVOCATIONS_URL: `${issuer}/revocations`,
  }
  const shops = await Promise.all(
    ['shop-1', 'shop-2'].map((name) => startReplica(t, name, { cwd, env: shopEnv })),
  )
  async function person() {
    const { access_token } = await signIn(issuer)
    const headers = { authorization: `Bearer ${access_token}` }
    const signOut = () => fetch(`${issuer}/logout`, { method: 'POST', headers })
    return { ...personWith(access_token), signOut }
  }
  return { shops, person }
}

t.test('a sign-out deletes the cart and keeps orders and preferences', async (t) => {
  const { shops, person } = await start(t)
  const [shop, other] = shops
  // The scopes are those that a login gets by default.
  const ada = await person()
  const elsewhere = await person()
  const preferences = { language: 'de', newsletter: false }
  t.equal((await ada.call('PUT', shop, '/preferences', { body: preferences })).status, 200)
  await ada.add(shop, 'lamp')
  const { body: order } = await ada.checkOut(shop)
  await ada.add(shop, 'hat', 2)
  await elsewhere.add(shop, 'mug')

  // Additions go on while it ends: those that are late are refused, and bring nothing back.
  let refused = 0
  async function addOn(n: number): Promise<void> {
    for (;;) {
      const { status } = await ada.add(shops[n], 'hat')
      if (status === 401) break
      t.equal(status, 200)
    }
    refused += 1
  }
  const adding = Promise.all([addOn(0), addOn(1)])
  t.equal((await ada.signOut()).status, 204)
  await until('both replicas refuse', () => refused === 2)
  await adding

  const again = await person()
  t.same(await again.cart(other), {})
  t.same((await again.get(other, '/orders')).body, { orders: [order] })
  t.same((await again.get(other, '/preferences')).body, preferences)
  t.same(await elsewhere.cart(other), { mug: 1 }, 'another device goes on')
})
