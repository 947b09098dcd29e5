import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { valueBytesMax } from '../../src/data/limits.ts'
import { dataOwner } from '../../src/stores/data-owner.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { lifetimes, newDataStore, startVerifier, tokenOf } from '../support/data.ts'
import { issuer, now_s } from '../support/tokens.ts'

const cart = '/data/session/cart'

t.test('a field is written, read by itself and with the others, and removed', async (t) => {
  const { get, put, remove } = await startVerifier(t)
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

  t.same((await get('/data/session')).json(), {
    fields: { cart: { value: { items: ['shirt', 'hat'] }, etag: read.headers.etag } },
  })
  t.same((await get('/data/user')).json(), { fields: {} })
  t.equal((await remove(cart)).statusCode, 204)
  t.equal((await get(cart)).statusCode, 404)
  t.equal((await remove(cart)).statusCode, 204, 'asked for again, it is done')
})

t.test('any JSON value is a value', async (t) => {
  const { get, put, call } = await startVerifier(t)
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

t.test('If-None-Match of a read saves the body', async (t) => {
  const { get, put } = await startVerifier(t)
  const { etag } = (await put(cart, 1)).headers
  const current = await get(cart, { 'if-none-match': `"other", ${etag}` })
  t.equal(current.statusCode, 304)
  t.equal(current.body, '')
  t.equal(current.headers.etag, etag)
  t.equal((await get(cart, { 'if-none-match': '"other"' })).statusCode, 200)
})

t.test('a change is made only where it finds what it expects', async (t) => {
  const { get, put, remove } = await startVerifier(t)
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

t.test('a precondition that is not understood changes nothing', async (t) => {
  const { get, put, remove } = await startVerifier(t)
  await put(cart, 1)
  const etag = String((await get(cart)).headers.etag)
  for (const headers of [
    { 'if-match': `W/${etag}` },
    { 'if-match': `${etag}, "other"` },
    { 'if-match': etag.slice(1, -1) },
    { 'if-match': '' },
    { 'if-none-match': etag },
    { 'if-match': etag, 'if-none-match': '*' },
  ]) {
    const what = JSON.stringify(headers)
    t.match((await put(cart, 2, headers)).json(), { code: 'request_malformed' }, what)
    t.match((await remove(cart, headers)).json(), { code: 'request_malformed' }, what)
  }
  t.equal((await get(cart)).json(), 1)
})

t.test('where it is required, a change without a precondition is refused', async (t) => {
  const { put, remove } = await startVerifier(t, { requiresPrecondition: true })
  const required = { status: 428, code: 'data_precondition_required' }
  t.match((await put(cart, 1)).json(), required)
  t.match((await remove(cart)).json(), required)
  const { etag } = (await put(cart, 1, { 'if-none-match': '*' })).headers
  t.equal((await remove(cart, { 'if-match': String(etag) })).statusCode, 204)
})

t.test('each limit has its answer', async (t) => {
  const { put, get, call } = await startVerifier(t)
  const longest = 'x'.repeat(valueBytesMax - 2)
  t.equal((await put(cart, longest)).statusCode, 201)
  t.equal((await get(cart)).json().length, longest.length)
  t.match((await put(cart, `${longest}x`)).json(), { status: 413, code: 'body_too_large' })
  // As JSON in its shortest form it is three times as long as it was sent.
  const grows = `[${'1e9,'.repeat(16_000)}1]`
  const json = { 'content-type': 'application/json' }
  const raw = (payload: string, headers: Record<string, string> = json) =>
    call('PUT', cart, { headers, payload })
  t.match((await raw(grows)).json(), { status: 413, code: 'data_value_too_large' })
  t.match((await raw('')).json(), { status: 422, code: 'data_value_invalid' })
  t.match((await raw('{')).json(), { status: 400, code: 'request_malformed' })
  t.match((await raw('{"__proto__":1}')).json(), { status: 400, code: 'request_malformed' })
  const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
  t.match((await raw(deep)).json(), { status: 422, code: 'data_value_invalid' })
  const text = { 'content-type': 'text/plain' }
  t.match((await raw('1', text)).json(), { status: 415, code: 'content_type_unsupported' })
  for (const name of ['a%20b', '%C3%A4', '..%2f', 'a.b', 'x'.repeat(65)]) {
    t.match((await put(`/data/session/${name}`, 1)).json(), { code: 'data_field_invalid' }, name)
  }
  t.equal((await put(`/data/session/${'x'.repeat(64)}`, 1)).statusCode, 201)
  t.equal((await put('/data/session/__proto__', 1)).statusCode, 201)
  t.match((await get('/data/session')).body, '"__proto__":{"value":1,')
  t.match((await get('/data/other')).json(), { status: 422, code: 'request_invalid' })
  t.match((await call('POST', cart)).json(), { status: 405 })
})

t.test('one more than so many fields is refused', async (t) => {
  const { put } = await startVerifier(t)
  for (let n = 0; n < 64; n++) await put(`/data/user/f${n}`, n)
  t.match((await put('/data/user/f64', 1)).json(), { status: 422, code: 'data_fields_exceeded' })
  t.equal((await put('/data/user/f0', 1)).statusCode, 204)
})

t.test('reading and writing take their scopes, and a token', async (t) => {
  const { call, get, put, remove } = await startVerifier(t)
  const reader = tokenOf({ scope: 'data:read' })
  const writer = tokenOf({ scope: 'data:write' })
  t.equal((await put(cart, 1, writer)).statusCode, 201)
  t.equal((await get(cart, reader)).statusCode, 200)
  const lacks = { status: 403, code: 'scope_insufficient' }
  const refused = await get(cart, writer)
  t.match(refused.json(), lacks)
  t.match(refused.headers['www-authenticate'], 'scope="data:read"')
  t.match((await get('/data/session', writer)).json(), lacks)
  t.match((await put(cart, 1, reader)).json(), lacks)
  t.match((await remove(cart, reader)).json(), lacks)
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE'] as const) {
    const { statusCode } = await call(method, cart, { headers: { authorization: '' } })
    t.equal(statusCode, 401, method)
  }
})

t.test('whose data it is the token alone says', async (t) => {
  const { get, put } = await startVerifier(t)
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
  const without = await get(cart, tokenOf({ sid: undefined }))
  t.match(without.json(), { status: 401, code: 'token_claims' })
  t.equal((await get(theme, tokenOf({ sid: undefined }))).json(), 'dark')
})

t.test('data lasts as long as its session may, and that of a user longer', async (t) => {
  const { clock, get, put } = await startVerifier(t)
  const claims = { auth_time: now_s - 1_000 }
  await put(cart, 1, tokenOf(claims))
  await put('/data/user/theme', 1)
  const left_s = lifetimes.sessionMax_s + lifetimes.accessTtl_s - 1_000
  const later = (seconds: number) =>
    tokenOf({ ...claims, iat: now_s + seconds, exp: now_s + seconds + 300 })
  clock.advance_s(left_s - 1)
  t.equal((await get(cart, later(left_s - 1))).statusCode, 200)
  clock.advance_s(1)
  t.equal((await get(cart, later(left_s))).statusCode, 404)
  t.equal((await get('/data/user/theme', later(left_s))).statusCode, 200)
})

t.test('what has ended can neither be read nor written', async (t) => {
  const { clock, get, put, remove, store } = await startVerifier(t)
  await put(cart, 1)
  await put('/data/user/theme', 1)
  const nowMs = clock.nowMs()
  await store.end(dataOwner('session', issuer, 'session-1'), nowMs + 60_000, nowMs)
  t.equal((await get(cart)).statusCode, 404)
  const refused = await put(cart, 2)
  t.match(refused.json(), { status: 401, code: 'token_revoked' })
  t.match(refused.headers['www-authenticate'], /^Bearer error="invalid_token"/)
  t.match((await remove(cart)).json(), { status: 401, code: 'token_revoked' })
  t.equal((await get('/data/user/theme')).statusCode, 200)
})

t.test('a store that is away is 503 with Retry-After', async (t) => {
  const unavailable = async () => {
    throw new GatepassError('store_unavailable', { retryAfter_s: 1 })
  }
  const real = newDataStore(t)
  const store: DataStore = {
    promises: real.promises,
    read: unavailable,
    write: unavailable,
    remove: unavailable,
    touch: unavailable,
    end: unavailable,
    removeExpired: unavailable,
    ping: unavailable,
    close: async () => {},
  }
  const { get, put, remove, metrics, call } = await startVerifier(t, { store })
  for (const response of [await get(cart), await put(cart, 1), await remove(cart)]) {
    t.match(response.json(), { status: 503, code: 'store_unavailable' })
    t.equal(response.headers['retry-after'], '1')
  }
  t.equal((await call('GET', '/verify')).statusCode, 200)
  t.match(
    await metrics.registry.metrics(),
    'gatepass_data_operation_duration_seconds_count{operation="read",outcome="unavailable"} 1',
  )
})

t.test('hits, misses and values that nobody can read are counted', async (t) => {
  const { get, put, metrics, store, clock } = await startVerifier(t)
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
    fieldsMax: 64,
    expiresAtMs: nowMs + 1_000,
    nowMs,
  })
  t.equal((await get('/data/session/forged')).statusCode, 404)
  const text = await metrics.registry.metrics()
  t.match(text, /^gatepass_data_hits_total 3$/m)
  t.match(text, /^gatepass_data_misses_total 1$/m)
  t.match(text, /^gatepass_data_unreadable_total 1$/m)
  const created = await put('/data/session/forged', 2, { 'if-none-match': '*' })
  t.equal(created.statusCode, 201, 'it is as good as gone')
  t.equal((await get('/data/session/forged')).json(), 2)
})
