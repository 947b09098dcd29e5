import t from 'tap'
import type { AuthClient } from '../../src/browser/types.ts'
import { issuerUrl, World } from './world.ts'

/** No clock is right: the machine's is off, jumps, and stands still while it sleeps. */

const me = `${issuerUrl}/me`
const ada = { username: 'ada', password: 'right' }

async function signedIn(wallOffMs = 0) {
  const world = new World()
  world.wallOffMs = wallOffMs
  const { client } = world.open()
  await world.until(client.login(ada))
  return { world, client }
}

/** When the access token expires, by the wall clock. */
function expiryOf({ state }: AuthClient): number {
  return state.status === 'signed-in' ? state.accessTokenExpiresAtMs : Number.NaN
}

for (const minutes of [-600, -7, 7, 600]) {
  t.test(`a clock that is ${minutes} minutes off makes no difference`, async (t) => {
    const { world, client } = await signedIn(minutes * 60_000)
    for (const expected of ['token-0', 'token-1', 'token-2']) {
      t.equal(await world.until(client.getAccessToken()), expected)
      await world.advance(301_000)
    }
  })
}

t.test(
  'a clock that is set back keeps no token alive, one set ahead costs a refresh',
  async (t) => {
    const { world, client } = await signedIn()
    await world.advance(299_000)
    world.wallOffMs -= 3_600_000
    await world.advance(2_000)
    t.equal(await world.until(client.getAccessToken()), 'token-1')
    world.wallOffMs += 7_200_000
    t.equal(await world.until(client.getAccessToken()), 'token-2')
    t.equal((await world.until(client.fetch(me))).status, 200)
  },
)

t.test('after hours of sleep the wall clock reveals an old token', async (t) => {
  const { world, client } = await signedIn()
  await world.advance(8 * 3_600_000)
  world.sleptMs += 8 * 3_600_000
  t.equal((await world.until(client.fetch(me))).status, 200)
  t.same(world.issuer.log, ['login ada-0', 'refresh rotated'])
})

t.test('a machine that sleeps while a response is on its way', async (t) => {
  const { world, client } = await signedIn()
  await world.advance(400_000)
  const token = client.getAccessToken()
  await world.advance(1.5 * world.latencyMs)
  t.same(world.issuer.log, ['login ada-0', 'refresh rotated'], 'the issuer has answered')
  world.nowMs += 3_600_000
  world.sleptMs += 3_600_000
  await world.until(token)
  t.equal(await world.until(client.getAccessToken()), 'token-2', 'the first one is an hour old')
})

t.test('a 401 leads to a refresh if both clocks are wrong', async (t) => {
  const { world, client } = await signedIn()
  await world.advance(3_600_000)
  world.sleptMs += 3_500_000
  world.wallOffMs -= 3_550_000
  t.equal((await world.until(client.fetch(me))).status, 200)
})

t.test('the time of the request counts as age of the token', async (t) => {
  const { world, client } = await signedIn()
  world.latencyMs = 3_000
  await world.advance(400_000)
  await world.until(client.getAccessToken())
  t.equal(expiryOf(client) - world.nowMs, 294_000)
})

t.test('a tab that receives a token late knows its age', async (t) => {
  const { world, client } = await signedIn()
  const other = world.open()
  await world.until(other.client.getAccessToken())
  other.freeze()
  await world.advance(400_000)
  await world.until(client.getAccessToken())
  await world.advance(200_000)
  other.thaw()
  t.equal(expiryOf(other.client) - world.nowMs, 99_960)
})

t.test('tokens of two seconds are used and refreshed in time', async (t) => {
  const world = new World()
  world.issuer.accessTtl_s = 2
  const { client } = world.open()
  await world.until(client.login(ada))
  for (let n = 0; n < 200; n++) {
    await world.advance(137)
    t.equal((await world.until(client.fetch(me))).status, 200)
  }
  const refreshes = world.issuer.log.length - 1
  t.ok(refreshes > 10 && refreshes < 30, `${refreshes} refreshes in half a minute`)
})
