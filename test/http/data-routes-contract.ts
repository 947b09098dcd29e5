import type { Test } from 'tap'
import { maxValueBytes } from '../../src/data/owned-fields.ts'
import { dataOwner } from '../../src/stores/data-store.ts'
import { longLifetimes, startVerifier, tokenOf } from '../support/data.ts'
import type { OpenStore } from '../support/data-stores.ts'
import { issuer } from '../support/tokens.ts'

const cart = '/data/session/cart'

/**
 * The contract of the routes on every store.
 *
 * @param open opens an empty store
 */
export function dataRoutesContract(t: Test, open: OpenStore): void {
  const start = async (t: Test) =>
    startVerifier(t, { store: await open(t), lifetimes: longLifetimes })

  t.test('a field is written, read alone and with others, and removed', async (t) => {
    const { get, put, remove } = await start(t)
    t.match((await get(cart)).json(), { status: 404, code: 'data_field_not_found' })
    const first = await put(cart, { items: ['shirt'] })
    t.equal(first.statusCode, 201)
    t.equal(first.body, '')
    const second = await put(cart, { items: ['shirt', 'hat'] })
    t.equal(second.statusCode, 204)
    t.not(second.headers.etag, first.headers.etag)

    const read = await get(cart)
    t.equal(read.statusCode, 200)
    t.same(read.json(), { items: ['shirt', 'hat'] })
    t.equal(read.headers.etag, second.headers.etag)
    t.equal(read.headers['cache-control'], 'no-store')
    t.match(read.headers['content-type'], /^application\/json/)

    const all = await get('/data/session')
    t.match(all.headers['content-type'], /^application\/json/)
    t.same(all.json(), {
      fields: { cart: { value: { items: ['shirt', 'hat'] }, etag: read.headers.etag } },
    })
    t.same((await get('/data/user')).json(), { fields: {} })
    t.equal((await remove(cart)).statusCode, 204)
    t.equal((await get(cart)).statusCode, 404)
    t.equal((await remove(cart)).statusCode, 204, 'asked for again, it is done')
  })

  t.test('every JSON value can be stored', async (t) => {
    const { get, put, call } = await start(t)
    for (const value of [null, false, 0, '', 'text', [], {}, { a: [1, null, { b: 'ü' }] }]) {
      await put(cart, value)
      const read = await get(cart)
      t.equal(read.body, JSON.stringify(value))
      t.match(read.headers['content-type'], /^application\/json/)
    }
    const head = await call('HEAD', cart)
    t.equal(head.statusCode, 200)
    t.match(head.headers.etag, /^".+"$/)
    t.equal(head.body, '')
  })

  t.test('a change needs its precondition', async (t) => {
    const { get, put, remove } = await start(t)
    const conflict = { status: 412, code: 'data_conflict' }
    t.match((await put(cart, 1, { 'if-match': '"none"' })).json(), conflict)
    t.match((await put(cart, 1, { 'if-match': '*' })).json(), conflict)
    t.match((await remove(cart, { 'if-match': '*' })).json(), conflict)
    const first = await put(cart, 1, { 'if-none-match': '*' })
    t.equal(first.statusCode, 201)
    t.match((await put(cart, 2, { 'if-none-match': '*' })).json(), conflict)
    const etag = String(first.headers.etag)
    const second = await put(cart, 2, { 'if-match': etag })
    t.equal(second.statusCode, 204)
    t.match((await put(cart, 3, { 'if-match': etag })).json(), conflict)
    t.match((await remove(cart, { 'if-match': etag })).json(), conflict)
    t.equal((await put(cart, 3, { 'if-match': '*' })).statusCode, 204)
    const last = await get(cart)
    t.equal(last.json(), 3)
    t.equal((await remove(cart, { 'if-match': String(last.headers.etag) })).statusCode, 204)
    t.equal((await get(cart)).statusCode, 404)
  })

  t.test('If-Match: * holds for a present field, however many change it', async (t) => {
    const { put } = await start(t)
    await put(cart, 0)
    const changes = Array.from({ length: 30 }, (_, n) => put(cart, n, { 'if-match': '*' }))
    const statuses = (await Promise.all(changes)).map(({ statusCode }) => statusCode)
    t.same(new Set(statuses), new Set([204]))
  })

  t.test('of concurrent changes without a condition, one creates the field', async (t) => {
    const { put } = await start(t)
    const changes = Array.from({ length: 10 }, (_, n) => put(cart, n))
    const statuses = (await Promise.all(changes)).map(({ statusCode }) => statusCode)
    t.same(statuses.sort(), [201, ...Array(9).fill(204)])
  })

  t.test('one field too many is refused', async (t) => {
    const { put } = await start(t)
    for (let n = 0; n < 64; n++) await put(`/data/user/f${n}`, n)
    t.match((await put('/data/user/f64', 1)).json(), { status: 422, code: 'data_fields_exceeded' })
    t.equal((await put('/data/user/f0', 1)).statusCode, 204)
  })

  t.test('only the token determines the owner', async (t) => {
    const { get, put } = await start(t)
    const theme = '/data/user/theme'
    await put(cart, 'mine')
    await put(theme, 'dark')
    const otherSession = tokenOf({ sid: 'session-2' })
    t.equal((await get(cart, otherSession)).statusCode, 404)
    t.equal((await get(theme, otherSession)).json(), 'dark')
    // Even a user whose id is another's session.
    const otherUser = tokenOf({ sub: 'session-1', sid: 'user-1' })
    t.equal((await get(cart, otherUser)).statusCode, 404)
    t.equal((await get(theme, otherUser)).statusCode, 404)
    for (const sid of [undefined, '']) {
      const without = await get(cart, tokenOf({ sid }))
      t.match(without.json(), { status: 401, code: 'token_claims' })
    }
    t.equal((await get(theme, tokenOf({ sid: undefined }))).json(), 'dark')
  })

  t.test('a user whose id is that of a client has other data than the client', async (t) => {
    const { call, get } = await start(t)
    const [preferences, payload] = ['/data/user/preferences', '"of the service"']
    const ofService = tokenOf({ sub: 'billing', client_id: 'billing', sid: undefined })
    const headers = { ...ofService, 'content-type': 'application/json' }
    t.equal((await call('PUT', preferences, { headers, payload })).statusCode, 201)
    for (const other of [
      tokenOf({ sub: 'billing' }),
      tokenOf({ sub: 'billing', client_id: 'billing' }),
      tokenOf({ sub: 'shipping', client_id: 'shipping', sid: undefined }),
    ]) {
      t.equal((await get(preferences, other)).statusCode, 404)
    }
    t.equal((await get(preferences, ofService)).json(), 'of the service')
  })

  t.test('data of an ended session can be neither read nor written', async (t) => {
    const { clock, get, put, remove, store } = await start(t)
    await put(cart, 1)
    await put('/data/user/theme', 1)
    const nowMs = clock.nowMs()
    await store.end(
      dataOwner('session', issuer, 'session-1'),
      nowMs + longLifetimes.userTtlSeconds * 1000,
      nowMs,
    )
    t.equal((await get(cart)).statusCode, 404)
    const refused = await put(cart, 2)
    t.match(refused.json(), { status: 401, code: 'token_revoked' })
    t.match(refused.headers['www-authenticate'], /^Bearer error="invalid_token"/)
    t.match((await remove(cart)).json(), { status: 401, code: 'token_revoked' })
    t.equal((await get('/data/user/theme')).statusCode, 200)
  })

  t.test('hits, misses and unreadable values are counted', async (t) => {
    const { get, put, metrics, store, clock } = await start(t)
    await put(cart, 0)
    await put(cart, 1)
    await get(cart)
    await get('/data/session')
    await get('/data/session/none')
    const nowMs = clock.nowMs()
    await store.write({
      owner: dataOwner('session', issuer, 'session-1'),
      field: 'forged',
      value: Buffer.from('{"admin":true}'),
      version: 'forged',
      maxFields: 64,
      expiresAtMs: nowMs + longLifetimes.userTtlSeconds * 1000,
      nowMs,
    })
    t.equal((await get('/data/session/forged')).statusCode, 404)
    const text = await metrics.registry.metrics()
    t.match(text, /^gatepass_data_hits_total 3$/m, 'a change counts no hit')
    t.match(text, /^gatepass_data_misses_total 1$/m)
    t.match(text, /^gatepass_data_unreadable_total 1$/m)
    const created = await put('/data/session/forged', 2, { 'if-none-match': '*' })
    t.equal(created.statusCode, 201, 'it is as good as gone')
    t.equal((await get('/data/session/forged')).json(), 2)
  })

  t.test('a value of the maximum size is stored', async (t) => {
    const { get, put } = await start(t)
    const longest = 'x'.repeat(maxValueBytes - 2)
    t.equal((await put(cart, longest)).statusCode, 201)
    t.equal((await get(cart)).json(), longest)
  })

  t.test('concurrent additions by If-Match lose nothing', async (t) => {
    const store = await open(t)
    const replicas = await Promise.all(
      [1, 2, 3, 4].map(() => startVerifier(t, { store, lifetimes: longLifetimes })),
    )
    const add = async (item: number) => {
      const replica = replicas[item % replicas.length] as (typeof replicas)[number]
      for (;;) {
        const found = await replica.get(cart)
        const items = found.statusCode === 404 ? [] : found.json()
        const etag = found.headers.etag
        const condition = etag === undefined ? { 'if-none-match': '*' } : { 'if-match': etag }
        const { statusCode } = await replica.put(cart, [...items, item], condition)
        if (statusCode !== 412) return statusCode
      }
    }
    const statuses = await Promise.all(Array.from({ length: 30 }, (_, item) => add(item)))
    t.same(statuses.filter((status) => status !== 201).length, 29)
    const items = (await replicas[0]?.get(cart))?.json() as number[]
    t.equal(new Set(items).size, 30)
  })
}
