import Fastify, { type FastifyRequest } from 'fastify'
import t from 'tap'
import { z } from 'zod'
import { dataOf, gatepassData } from '../../src/data/fastify.ts'
import { dataOwner } from '../../src/stores/data-store.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { closedWith } from '../support/closed-with.ts'
import { dataSecret, newDataStore, startVerifier } from '../support/data.ts'
import { audience, claimsWith, issuer, mint } from '../support/tokens.ts'
import { bearer, fields, key, start, type Work } from './app.ts'

const claims = claimsWith() as unknown as AccessTokenClaims

t.test('the types reject values that the schemas reject', async (t) => {
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

t.test(
  'a request without a token, or without a use of its data, never reaches the store',
  async (t) => {
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
    await run(({ session }) => session.update('cart', (cart) => [...cart, 'y']))
    t.equal(calls, 5, 'the version is known from the update before')
  },
)

t.test('an update sees the changes of another process', async (t) => {
  const { answer, data, run } = await start(t)
  const other = data.fieldsOf('session', claims)
  const add: Work = ({ session }) => session.update('count', (n = 0) => n + 1)
  t.equal(await answer(add), 1)
  t.equal(await answer(add), 2)
  for (const n of [10, 20, 30]) {
    await other.set('count', n)
    t.equal(await answer(add), n + 1)
  }
  await other.delete('count')
  t.equal(await answer(add), 1)
  await other.set('count', 7)
  const below = (limit: number): Work => {
    return ({ session }) =>
      session.update('count', (n = 0) => {
        if (n >= limit) throw new Error('too many')
        return n + 1
      })
  }
  t.equal((await run(below(5))).statusCode, 500)
  await other.set('count', 1)
  t.equal(await answer(below(5)), 2, 'a refusal is by the current value')
})

t.test('an update reads first where others change the field more often', async (t) => {
  const real = newDataStore(t)
  const conflicts: string[] = []
  const observer = {
    operation: (_: string, outcome: string) => void (outcome === 'conflict' && conflicts.push('')),
    fieldsRead: () => {},
    unreadable: () => {},
  }
  const replicas = [
    await start(t, { store: real, observer }),
    await start(t, { store: real, observer }),
  ]
  for (let n = 0; n < 20; n++) {
    const add: Work = ({ session }) => session.update('count', (count = 0) => count + 1)
    t.equal(await replicas[n % 2]?.answer(add), n + 1)
  }
  t.equal(conflicts.length, 2, 'one at each replica')
})

t.test('without secrets, values are stored as they are', async (t) => {
  const store = newDataStore(t)
  const [plain, encrypted] = [await start(t, { store, secrets: null }), await start(t, { store })]
  const read: Work = ({ session }) => session.get('cart')
  await plain.answer(({ session }) => session.set('cart', ['hat']))
  t.same(await plain.answer(read), ['hat'])
  const { owner } = plain.data.fieldsOf('session', claims)
  const nowMs = plain.clock.nowMs()
  const stored = await store.read(owner, ['cart'], nowMs)
  t.equal(String(stored.get('cart')?.value), '\0["hat"]')
  t.same(await encrypted.answer(read), [], 'no plain value counts where values are encrypted')
  await encrypted.answer(({ session }) => session.set('cart', ['mug']))
  t.same(await plain.answer(read), [], 'nor the other way round')
  const damaged = { owner, field: 'cart', version: 'damaged', value: Buffer.from('\0["hat') }
  const life = { maxFields: 64, expiresAtMs: nowMs + 60_000, nowMs }
  await store.write({ ...damaged, ...life })
  t.match((await plain.run(read)).json(), { statusCode: 500, code: 'data_value_unexpected' })
  await plain.answer(({ session }) => session.set('cart', ['mug']))
  t.same(await plain.answer(read), ['mug'])
})

t.test('an update that throws changes nothing, and the next one succeeds', async (t) => {
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

t.test('an older value is converted by the schema, or is an error', async (t) => {
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

t.test('dataOf returns the types of its fields', async (t) => {
  const { app } = await start(t)
  const { statusCode } = await app.inject({ url: '/other-fields', headers: bearer() })
  t.equal(statusCode, 500)
  t.throws(() => dataOf({} as FastifyRequest, fields), { code: 'config_invalid' })
})

t.test('an update replaces a field that does not decrypt', async (t) => {
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

t.test('an option that is undefined has its default', async (t) => {
  const { answer, clock, data } = await start(t, {
    sessionMaxSeconds: undefined as never,
    userTtlSeconds: undefined as never,
  })
  await answer(({ session, user }) =>
    Promise.all([session.set('count', 1), user.set('theme', 'dark')]),
  )
  clock.advance_s(89 * 86_400)
  t.equal((await data.fieldsOf('session', claims).getText('count'))?.text, '1')
  t.equal((await data.fieldsOf('user', claims).getText('theme'))?.text, '"dark"')
})

t.test('a secret from a file is that of the service, which ignores white space', async (t) => {
  const store = newDataStore(t)
  const service = await start(t, { store })
  await service.answer(({ session }) => session.set('count', 1))
  const other = await start(t, { store, secrets: [`${dataSecret}\n`] })
  t.equal(await other.answer(({ session }) => session.get('count')), 1)
})

t.test('a page sets a field of an application only if the service has its secret', async (t) => {
  const store = newDataStore(t)
  const service = await startVerifier(t, { store })
  const same = await start(t, { store })
  await same.answer(({ session }) => session.set('count', 1))
  t.equal((await service.put('/data/session/count', 1_000)).statusCode, 204)
  t.equal(await same.answer(({ session }) => session.get('count')), 1_000)
  const other = await start(t, { store, secrets: ['e'.repeat(43)] })
  await other.answer(({ session }) => session.set('count', 1))
  t.equal((await service.get('/data/session/count')).statusCode, 404)
  t.equal((await service.put('/data/session/count', 1_000)).statusCode, 204)
  t.equal(await other.answer(({ session }) => session.get('count')), null, 'it is removed at most')
})

t.test('an unavailable store is 503 and does not prevent the start', async (t) => {
  const { run } = await start(t, { store: 'redis://127.0.0.1:1', deadlineMs: 100 })
  const response = await run(({ session }) => session.get('cart'))
  t.match(response.json(), { statusCode: 503, code: 'store_unavailable' })
  t.match(response.headers['retry-after'], /^\d+$/)
  t.notMatch(response.body, '127.0.0.1', 'a client does not learn the address of the store')
})

t.test('a token that session data refuses gets a challenge', async (t) => {
  const store = newDataStore(t)
  const { run, clock } = await start(t, { store })
  const set: Work = ({ session }) => session.set('count', 1)
  const nowMs = clock.nowMs()
  await store.end(dataOwner('session', issuer, 'session-1'), nowMs + 60_000, nowMs)
  const ended = await run(set)
  t.match(ended.json(), { statusCode: 401, code: 'token_revoked' })
  const challenge = 'Bearer error="invalid_token", error_description="token_revoked"'
  t.equal(ended.headers['www-authenticate'], challenge)
  const service = mint(key, { payload: claimsWith({ sid: undefined }) })
  const ofNoSession = await run(set, { headers: { authorization: `Bearer ${service}` } })
  t.match(ofNoSession.json(), { statusCode: 401, code: 'token_claims' })
  const missing = await run(set, { url: '/open', headers: {} })
  t.match(missing.json(), { statusCode: 401, code: 'token_missing' })
  t.equal(missing.headers['www-authenticate'], 'Bearer')
})

t.test('invalid options prevent the start', async (t) => {
  const options = { store: newDataStore(t), secrets: [dataSecret], fields }
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] } })
  const register = async (changes: object, withAuth = true) => {
    const app = closedWith(t, Fastify())
    if (withAuth) await app.register(gatepassAuth, { verifier })
    await app.register(gatepassData, { ...options, ...changes })
  }
  await t.rejects(register({ secrets: [] }), { code: 'config_invalid' })
  await t.rejects(register({ secrets: ['short'] }), { code: 'config_invalid' })
  await t.rejects(register({ secrets: [`${dataSecret},${dataSecret}`] }), {
    code: 'config_invalid',
  })
  for (const secrets of [undefined, dataSecret, [undefined], [Buffer.alloc(32)]]) {
    await t.rejects(register({ secrets }), { code: 'config_invalid', message: /list of secrets/ })
  }
  for (const store of [undefined, null, {}, 6379]) {
    await t.rejects(register({ store }), { code: 'config_invalid', message: /option store/ })
  }
  for (const schema of [undefined, 'text', { parse: String }]) {
    const refusal = { code: 'config_invalid', message: /field cart .* Zod 4/ }
    await t.rejects(register({ fields: { session: { cart: schema } } }), refusal)
  }
  await t.rejects(register({ store: 'redis://' }), { code: 'config_invalid' })
  for (const store of ['postgres://db.example.com/shop', 'cache.example.com:11211', '']) {
    await t.rejects(register({ store }), { code: 'config_invalid' }, store)
  }
  for (const name of ['sessionMaxSeconds', 'accessTtlSeconds', 'userTtlSeconds', 'deadlineMs']) {
    for (const value of [Number.NaN, 0, -1, 0.5, 1e15, '300', null]) {
      const refusal = { code: 'config_invalid', message: new RegExp(name) }
      const store = 'sqlite::memory:'
      await t.rejects(register({ store, [name]: value }), refusal, `${name}: ${value}`)
    }
  }
  await t.rejects(register({ store: 'sqlite::memory:', replicas: -1 }), { code: 'config_invalid' })
  await t.rejects(register({ store: 'memcached://127.0.0.1:1', replicas: 1 }), {
    code: 'config_invalid',
    message: /replicas/,
  })
  await t.rejects(register({ fields: { session: { 'a b': z.string() } } }), {
    code: 'config_invalid',
  })
  for (const given of [undefined, null, [], 'cart', { session: null }, { user: [] }]) {
    const refusal = { code: 'config_invalid', message: /option fields/ }
    await t.rejects(register({ fields: given }), refusal, JSON.stringify(given))
  }
  await t.rejects(register({ fields: { sessions: fields.session } }), {
    code: 'config_invalid',
    message: 'There is no scope sessions.',
  })
  await t.rejects(register({ userTtlSecond: 60 }), {
    code: 'config_invalid',
    message: 'There is no option userTtlSecond.',
  })
  for (const unused of [{ deadlineMs: 100 }, { replicas: 1 }]) {
    const refusal = { code: 'config_invalid', message: /no effect on an open store/ }
    await t.rejects(register(unused), refusal)
  }
  const { read } = options.store
  for (const [name, given] of [
    ['observer', null],
    ['observer', {}],
    ['observer', { operation() {}, fieldsRead() {} }],
    ['clock', null],
    ['clock', { now: Date.now }],
    ['clock', { nowMs: async () => Date.now() }],
    ['store', { read }],
  ] as const) {
    const refusal = { code: 'config_invalid', message: new RegExp(`option ${name} must`) }
    await t.rejects(register({ [name]: given }), refusal, name)
  }
  await register({ prefix: '/shop', logLevel: 'warn' })
  await t.rejects(register({}, false), /gatepass-auth/)
})
