import t, { type Test } from 'tap'
import { runCommand } from '../../support/commands.ts'
import { TestProcess } from '../../support/processes.ts'
import { outsideFolder } from '../../support/project.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { until } from '../../support/until.ts'
import { dataSecret, personWith, startReplica } from './replicas.ts'

const password = 'correct horse battery staple'

/** A real issuer, and two replicas that follow its revocations. */
async function start(t: Test) {
  createTestFolder(t, {})
  const data = { GATEPASS_DATA_URL: `sqlite:${t.testdirName}/data.db` }
  const env = {
    ...data,
    GATEPASS_SECRET: 's'.repeat(43),
    GATEPASS_DATA_SECRET: dataSecret,
    GATEPASS_ARGON2_MEMORY_KIB: '8',
    GATEPASS_ARGON2_PASSES: '1',
    GATEPASS_PORT: '0',
    GATEPASS_ADMIN_PORT: '0',
  }
  const cwd = outsideFolder(t)
  await runCommand(['users', 'add', 'ada'], { cwd, env, input: `${password}\n` })
  const { port } = await TestProcess.start(t, ['issuer'], { cwd, env }).ready()
  const issuer = `http://127.0.0.1:${port}`
  const shops = await Promise.all(
    ['shop-1', 'shop-2'].map((name) =>
      startReplica(t, name, {
        ...data,
        GATEPASS_JWKS_URL: `${issuer}/.well-known/jwks.json`,
        GATEPASS_REVOCATIONS_URL: `${issuer}/revocations`,
      }),
    ),
  )
  async function signIn() {
    const response = await fetch(`${issuer}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'ada', password }),
    })
    const { access_token } = (await response.json()) as { access_token: string }
    const headers = { authorization: `Bearer ${access_token}` }
    const signOut = () => fetch(`${issuer}/logout`, { method: 'POST', headers })
    return { ...personWith(access_token), signOut }
  }
  return { shops, signIn }
}

t.test('a sign-out deletes the cart and keeps orders and preferences', async (t) => {
  const { shops, signIn } = await start(t)
  const [shop, other] = shops
  // The scopes are those that a login gets by default.
  const ada = await signIn()
  const elsewhere = await signIn()
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

  const again = await signIn()
  t.same(await again.cart(other), {})
  t.same((await again.get(other, '/orders')).body, { orders: [order] })
  t.same((await again.get(other, '/preferences')).body, preferences)
  t.same(await elsewhere.cart(other), { mug: 1 }, 'another device goes on')
})
