import { join } from 'node:path'
import Fastify, { type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { randomId } from '../../src/core/secrets.ts'
import { DataService } from '../../src/data/data-service.ts'
import {
  dataOf,
  type GatepassDataOptions,
  gatepassData,
  type RequestData,
} from '../../src/data/fastify.ts'
import { dataOwner } from '../../src/stores/data-owner.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data.ts'
import type { AccessTokenClaims } from '../../src/tokens/claims.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { dataSecret, lifetimes, newDataStore } from '../support/data.ts'
import { startRedis } from '../support/redis.ts'
import { audience, claimsWith, issuer, makeKey, mint, TestClock } from '../support/tokens.ts'

const key = makeKey('ES256')
const claims = claimsWith() as unknown as AccessTokenClaims
const bearer = () => ({ authorization: `Bearer ${mint(key)}` })

const fields = {
  session: {
    cart: z.array(z.string()).default([]),
    count: z.int(),
    since: z.codec(z.iso.datetime(), z.date(), {
      decode: (text) => new Date(text),
      encode: (date) => date.toISOString(),
    }),
  },
  user: { theme: z.enum(['light', 'dark']).catch('light'), name: z.string().max(5) },
}

type Work = (data: RequestData<typeof fields>) => Promise<unknown>

/** An application whose one guarded route does what the test says, and what it answers. */
async function start(t: Test, changes: Partial<GatepassDataOptions> = {}) {
  const clock = new TestClock()
  const app = Fastify()
  const store = changes.store ?? newDataStore(t)
  const data = new DataService({
    ...lifetimes,
    store: store as DataStore,
    secrets: [dataSecret],
    clock,
  })
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] }, clock })
  await app.register(gatepassAuth, { verifier })
  await app.register(gatepassData, { store, secrets: [dataSecret], fields, clock, ...changes })
  let work: Work = async () => null
  const handler = async (request: FastifyRequest) => ({
    answer: (await work(dataOf(request, fields))) ?? null,
  })
  app.get('/guarded', handler)
  app.get('/open', { config: { auth: false } }, handler)
  app.get('/other-fields', async (request) => dataOf(request, { session: fields.session }))
  t.teardown(() => app.close())
  await app.ready()
  const run = async (does: Work, { url = '/guarded', headers = bearer() as object } = {}) => {
    work = does
    return app.inject({ url, headers: { ...headers } })
  }
  return {
    app,
    clock,
    store,
    data,
    run,
    answer: async (does: Work) => (await run(does)).json().answer,
  }
}

t.test('fields are read and written by their types', async (t) => {
  const { answer } = await start(t)
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

t.test('the types refuse what the schemas refuse', async (t) => {
  const { run } = await start(t)
  const refused = await run(async ({ session, user }) => {
    // @ts-expect-error: there is no such field
    await session.get('carts').catch(() => {})
    // @ts-expect-error: it is of the session
    await user.get('cart').catch(() => {})
    // @ts-expect-error: it is a list of texts
    await session.set('cart', [1])
  })
  t.match(refused.json(), { statusCode: 422, code: 'data_value_invalid' })
})

t.test('an anonymous request never reaches the store, nor one that touches nothing', async (t) => {
  const real = newDataStore(t)
  let calls = 0
  const store = new Proxy(real, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        calls += 1
        return value.apply(target, args)
      }
    },
  })
  const { run } = await start(t, { store })
  t.equal((await run(async () => 1)).statusCode, 200)
  t.equal((await run(async () => 1, { url: '/open', headers: {} })).statusCode, 200)
  const anonymous = await run(({ session }) => session.get('cart'), { url: '/open', headers: {} })
  t.match(anonymous.json(), { statusCode: 401, code: 'token_missing' })
  const update: Work = ({ session }) => session.update('cart', () => [])
  t.equal((await run(update, { url: '/open', headers: {} })).statusCode, 401)
  t.equal((await run(({ session }) => session.get('cart'), { headers: {} })).statusCode, 401)
  t.equal(calls, 0)
  await run(({ session }) => session.get('cart'))
  t.equal(calls, 1)
  await run(({ session }) => session.getMany(['cart', 'count', 'since']))
  t.equal(calls, 2)
  await run(({ session }) => session.update('cart', (cart) => [...cart, 'x']))
  t.equal(calls, 4)
})

t.test('an update loses nothing that others write, on however many replicas', async (t) => {
  const path = join(t.testdir(), 'data.db')
  const stores = Array.from({ length: 4 }, () => new SqliteDataStore(path))
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  const replicas = await Promise.all(stores.map((store) => start(t, { store })))
  const add: Work = ({ session }) => session.update('cart', (cart) => [...cart, randomId()])
  const additions = Array.from({ length: 200 }, (_, n) => replicas[n % 4]?.run(add))
  const statuses = (await Promise.all(additions)).map((response) => response?.statusCode)
  t.same(new Set(statuses), new Set([200]))
  const cart = await replicas[0]?.answer(({ session }) => session.get('cart'))
  t.equal(new Set(cart).size, 200)
})

t.test('on Redis too; and a read is one command there', async (t) => {
  const redis = await startRedis(t)
  const options = { store: redis.url, deadlineMs: 2_000 }
  const replicas = await Promise.all([1, 2, 3, 4].map(() => start(t, options)))
  const add: Work = ({ session }) => session.update('cart', (cart) => [...cart, randomId()])
  const additions = Array.from({ length: 200 }, (_, n) => replicas[n % 4]?.run(add))
  const statuses = (await Promise.all(additions)).map((response) => response?.statusCode)
  t.same(new Set(statuses), new Set([200]))
  const [replica] = replicas
  t.match(await replica?.answer(({ session }) => session.get('cart')), { length: 200 })

  const calls = async () => {
    const stats = String(await redis.ask('INFO', 'commandstats'))
    return [...stats.matchAll(/^cmdstat_(h\w*|eval\w*):calls=(\d+)/gm)]
      .map(([, name, count]) => `${name} ${count}`)
      .sort()
  }
  await redis.ask('CONFIG', 'RESETSTAT')
  await replica?.answer(({ session }) => session.get('cart'))
  t.same(await calls(), ['hmget 1'])
  await replica?.answer(({ session }) => session.getMany(['cart', 'count', 'since']))
  t.same(await calls(), ['hmget 2'])
})

t.test('what an update throws changes nothing, and the next one goes on', async (t) => {
  const { run, answer } = await start(t)
  await answer(({ session }) => session.set('count', 1))
  const failed = await run(({ session }) =>
    session.update('count', () => {
      throw new Error('no')
    }),
  )
  t.equal(failed.statusCode, 500)
  const refused = await run(({ session }) => session.update('count', () => 0.5))
  t.equal(refused.json().code, 'data_value_invalid')
  t.equal(await answer(({ session }) => session.update('count', (n = 0) => n + 1)), 2)
  t.equal(await answer(({ session }) => session.get('count')), 2)
})

t.test('a value of an older form is what the schema makes of it, or an error', async (t) => {
  const { answer, run, data } = await start(t)
  const [session, user] = [data.fieldsOf('session', claims), data.fieldsOf('user', claims)]
  await session.set('count', 'two')
  await user.set('theme', 'pink')
  t.equal(await answer(({ user }) => user.get('theme')), 'light', 'its catch')
  const refused = await run(({ session }) => session.get('count'))
  t.match(refused.json(), { statusCode: 500, code: 'data_value_unexpected' })
  t.notMatch(refused.body, 'two')
  await answer(({ session }) => session.set('count', 2))
  t.equal(await answer(({ session }) => session.get('count')), 2)
})

t.test('its types are those of the fields that it was registered with', async (t) => {
  const { app } = await start(t)
  const { statusCode } = await app.inject({ url: '/other-fields', headers: bearer() })
  t.equal(statusCode, 500)
  t.throws(() => dataOf({} as FastifyRequest, fields), { code: 'config_invalid' })
})

t.test('a field that can not be read is written anew by an update', async (t) => {
  const store = newDataStore(t)
  const first = await start(t, { store, secrets: ['e'.repeat(43)] })
  await first.answer(({ session }) => session.set('cart', ['lost']))
  const unreadable: string[] = []
  const observer = {
    operation: () => {},
    fieldsRead: () => {},
    unreadable: () => void unreadable.push('one'),
  }
  const second = await start(t, { store, observer })
  t.same(await second.answer(({ session }) => session.get('cart')), [])
  t.equal(unreadable.length, 1)
  await second.answer(({ session }) => session.update('cart', (cart) => [...cart, 'new']))
  t.same(await second.answer(({ session }) => session.get('cart')), ['new'])
})

t.test(
  'after the session has ended a change is refused, and data of the user is not',
  async (t) => {
    const { run, answer, store, clock } = await start(t)
    await answer(({ session }) => session.set('count', 1))
    await answer(({ user }) => user.set('theme', 'dark'))
    const nowMs = clock.nowMs()
    const owner = dataOwner('session', issuer, 'session-1')
    await (store as DataStore).end(owner, nowMs + 60_000, nowMs)
    t.equal(await answer(({ session }) => session.get('count')), null)
    const refused = await run(({ session }) => session.update('count', () => 2))
    t.match(refused.json(), { statusCode: 401, code: 'token_revoked' })
    t.equal(await answer(({ user }) => user.get('theme')), 'dark')
  },
)

t.test('a store of another machine that is away is 503, and no reason not to start', async (t) => {
  const { run } = await start(t, { store: 'redis://127.0.0.1:1', deadlineMs: 100 })
  const response = await run(({ session }) => session.get('cart'))
  t.match(response.json(), { statusCode: 503, code: 'store_unavailable' })
  t.match(response.headers['retry-after'], /^\d+$/)
})

t.test('what can not work does not start', async (t) => {
  const options = { store: newDataStore(t), secrets: [dataSecret], fields }
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] } })
  const register = async (changes: object, withAuth = true) => {
    const app = Fastify()
    t.teardown(() => app.close())
    if (withAuth) await app.register(gatepassAuth, { verifier })
    await app.register(gatepassData, { ...options, ...changes })
  }
  await t.rejects(register({ secrets: [] }), { code: 'config_invalid' })
  await t.rejects(register({ secrets: ['short'] }), { code: 'config_invalid' })
  await t.rejects(register({ store: 'redis://' }), { code: 'config_invalid' })
  await t.rejects(register({ fields: { session: { 'a b': z.string() } } }), {
    code: 'config_invalid',
  })
  await t.rejects(register({}, false), /gatepass-auth/)
})
