import t, { type Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { type DataStore, dataOwner } from '../../src/stores/data-store.ts'
import { longLifetimes } from '../support/data.ts'
import { dataStores, type OpenStore } from '../support/data-stores.ts'
import { patienceMs } from '../support/patience.ts'
import { startRedis } from '../support/redis.ts'
import { claimsWith, issuer, mint, now_s } from '../support/tokens.ts'
import { key, start, type Work } from './app.ts'

const add: Work = ({ session }) => session.update('cart', (cart) => [...cart, randomId()])

/** The plugin on every store. */
function pluginContract(t: Test, open: OpenStore): void {
  const startOn = (t: Test, store: DataStore) => start(t, { ...longLifetimes, store })

  t.test('fields are read and written with their types', async (t) => {
    const { answer } = await startOn(t, await open(t))
    t.same(await answer(({ session }) => session.get('cart')), [], 'its default')
    t.equal(await answer(({ session }) => session.get('count')), null)
    await answer(({ session }) => session.set('cart', ['shirt']))
    await answer(({ session }) => session.set('count', 2))
    await answer(({ session }) => session.set('since', new Date(0)))
    await answer(({ user }) => user.set('theme', 'dark'))
    t.same(await answer(({ session }) => session.getMany(['cart', 'count'])), {
      cart: ['shirt'],
      count: 2,
    })
    const year: Work = async ({ session }) => (await session.get('since'))?.getUTCFullYear()
    t.equal(await answer(year), 1970)
    t.equal(await answer(({ user }) => user.get('theme')), 'dark')
    t.equal(await answer(({ session }) => session.delete('count')), true)
    t.equal(await answer(({ session }) => session.delete('count')), false)
  })

  t.test('no update is lost of 200 on one cart and four replicas', async (t) => {
    const first = await open(t)
    const others = await Promise.all([1, 2, 3].map(() => open.again(t)))
    const replicas = await Promise.all([first, ...others].map((store) => startOn(t, store)))
    const additions = Array.from({ length: 200 }, (_, n) => replicas[n % 4]?.run(add))
    const statuses = (await Promise.all(additions)).map((response) => response?.statusCode)
    t.same(new Set(statuses), new Set([200]))
    const cart = await replicas[0]?.answer(({ session }) => session.get('cart'))
    t.equal(new Set(cart).size, 200)
  })

  t.test('fractions of a millisecond, and a token that never expires, are accepted', async (t) => {
    const store = await open(t)
    const clock = { nowMs: () => now_s * 1000 + 0.5 }
    const { run } = await start(t, { ...longLifetimes, store, clock })
    const payload = claimsWith({ exp: Number.MAX_SAFE_INTEGER, auth_time: now_s + 1 })
    const headers = { authorization: `Bearer ${mint(key, { payload })}` }
    const works: Work[] = [
      ({ session }) => session.set('count', 1),
      ({ session }) => session.update('count', (count = 0) => count + 1),
      ({ session }) => session.touch(),
      ({ user }) => user.set('theme', 'dark'),
      ({ user }) => user.touch(),
    ]
    for (const work of works) t.equal((await run(work, { headers })).statusCode, 200)
    const read = await run(({ session }) => session.get('count'), { headers })
    t.same(read.json(), { answer: 2 })
    // It reads every expiry in SQLite.
    t.equal(await store.removeExpired(clock.nowMs(), 100), false)
  })

  t.test(
    'after the session has ended, changes of its data are refused, changes of user data are not',
    async (t) => {
      const store = await open(t)
      const { run, answer, clock } = await startOn(t, store)
      await answer(({ session }) => session.set('count', 1))
      await answer(({ user }) => user.set('theme', 'dark'))
      const nowMs = clock.nowMs()
      const owner = dataOwner('session', issuer, 'session-1')
      await store.end(owner, nowMs + longLifetimes.userTtlSeconds * 1000, nowMs)
      t.equal(await answer(({ session }) => session.get('count')), null)
      const refused = await run(({ session }) => session.update('count', () => 2))
      t.match(refused.json(), { statusCode: 401, code: 'token_revoked' })
      t.equal(await answer(({ user }) => user.get('theme')), 'dark')
    },
  )
}

for (const [name, prepare] of dataStores) {
  t.test(name, async (t) => pluginContract(t, await prepare(t)))
}

t.test('on Redis a read is one command for any number of fields', async (t) => {
  const redis = await startRedis(t)
  const { answer } = await start(t, { ...longLifetimes, store: redis.url, deadlineMs: patienceMs })
  await answer(add)
  const calls = async () => {
    const stats = String(await redis.ask('INFO', 'commandstats'))
    return [...stats.matchAll(/^cmdstat_([a-z|]+):calls=(\d+)/gm)]
      .map(([, name, count]) => `${name} ${count}`)
      .filter((one) => !/^(config|info)/.test(one))
  }
  await redis.ask('CONFIG', 'RESETSTAT')
  await answer(({ session }) => session.get('cart'))
  t.same(await calls(), ['hmget 1'])
  await answer(({ session }) => session.getMany(['cart', 'count', 'since']))
  t.same(await calls(), ['hmget 2'])
})
