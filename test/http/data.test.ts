import { type AddressInfo, connect, type Socket } from 'node:net'
import t from 'tap'
import { maxFields, maxValueBytes } from '../../src/data/owned-fields.ts'
import { MemcachedDataStore } from '../../src/stores/memcached/data-store.ts'
import { RedisDataStore } from '../../src/stores/redis/data-store.ts'
import { lifetimes, longLifetimes, newDataStore, startVerifier, tokenOf } from '../support/data.ts'
import { dataStores } from '../support/data-stores.ts'
import { startMemcached } from '../support/memcached.ts'
import { patient } from '../support/patience.ts'
import { startRedis } from '../support/redis.ts'
import { now_s } from '../support/tokens.ts'
import { until } from '../support/until.ts'
import { dataRoutesContract } from './data-routes-contract.ts'

const cart = '/data/session/cart'

for (const [name, prepare] of dataStores) {
  t.test(name, async (t) => dataRoutesContract(t, await prepare(t)))
}

t.test('a read with a current If-None-Match is 304', async (t) => {
  const { get, put } = await startVerifier(t)
  const { etag } = (await put(cart, 1)).headers
  const current = await get(cart, { 'if-none-match': `"other", ${etag}` })
  t.equal(current.statusCode, 304)
  t.equal(current.body, '')
  t.equal(current.headers.etag, etag)
  for (const other of ['"other"', '"a,*,b"']) {
    t.equal((await get(cart, { 'if-none-match': other })).statusCode, 200, other)
  }
})

t.test('a read with an outdated If-Match is 412', async (t) => {
  const { get, put, call } = await startVerifier(t)
  t.equal((await get(cart, { 'if-match': '*' })).statusCode, 404)
  const { etag } = (await put(cart, 1)).headers
  const conflict = { status: 412, code: 'data_conflict' }
  for (const ifMatch of ['"other"', '"a,*,b"', `W/${etag}`]) {
    t.match((await get(cart, { 'if-match': ifMatch })).json(), conflict)
    t.equal((await call('HEAD', cart, { headers: { 'if-match': ifMatch } })).statusCode, 412)
  }
  for (const ifMatch of ['*', String(etag), `"other", ${etag}`]) {
    t.equal((await get(cart, { 'if-match': ifMatch })).statusCode, 200)
    const both = await get(cart, { 'if-match': ifMatch, 'if-none-match': String(etag) })
    t.equal(both.statusCode, 304)
  }
})

t.test('a value that is not UTF-8 is refused, not stored with other characters', async (t) => {
  const { get, call } = await startVerifier(t)
  const headers = { 'content-type': 'application/json' }
  const payload = Buffer.from('{"city":"Zürich"}', 'latin1')
  const response = await call('PUT', cart, { headers, payload })
  t.match(response.json(), { status: 400, code: 'request_malformed' })
  t.equal((await get(cart)).statusCode, 404)
})

t.test('no value of another user changes how the names of a value are read', async (t) => {
  const { get, call } = await startVerifier(t)
  const write = (payload: string) =>
    call('PUT', cart, { headers: { 'content-type': 'application/json' }, payload })
  // From here on, JSON.parse of Node 24 finds the second name in the next value, too.
  const planted = '{"size":1,"gr\\\\u0":2}'
  t.equal((await write(planted)).statusCode, 201)
  t.same((await get(cart)).json(), JSON.parse(planted))
  const { statusCode } = await write('{"size":1,"gr\\u00f6\\u00dfe":2}')
  const { body } = await get(cart)
  t.ok(statusCode === 400 ? body === planted : body === '{"size":1,"größe":2}', body)
  const deep = await write(`{"\\\\":${'['.repeat(20_000)}${']'.repeat(20_000)}}`)
  t.match(deep.json(), { status: 422, code: 'data_value_invalid' })
})

t.test('an invalid precondition, or a part of a value, changes nothing', async (t) => {
  const { get, put, remove } = await startVerifier(t)
  await put(cart, 1)
  const part = await put(cart, 2, { 'content-range': 'bytes 0-0/9' })
  t.match(part.json(), { status: 400, code: 'request_malformed' })
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

t.test('a change without a required precondition is refused', async (t) => {
  const { put, remove } = await startVerifier(t, { requiresPrecondition: true })
  const required = { status: 428, code: 'data_precondition_required' }
  t.match((await put(cart, 1)).json(), required)
  t.match((await remove(cart)).json(), required)
  const { etag } = (await put(cart, 1, { 'if-none-match': '*' })).headers
  t.equal((await remove(cart, { 'if-match': String(etag) })).statusCode, 204)
})

t.test('each limit has its error', async (t) => {
  const { put, get, call } = await startVerifier(t)
  const longest = 'x'.repeat(maxValueBytes - 2)
  t.equal((await put(cart, longest)).statusCode, 201)
  t.equal((await get(cart)).json().length, longest.length)
  t.match((await put(cart, `${longest}x`)).json(), { status: 413, code: 'body_too_large' })
  // As JSON in its shortest form it is three times as long as it was sent.
  const grows = `[${'1e9,'.repeat(16_000)}1]`
  const json = { 'content-type': 'application/json' }
  const raw = (payload: string, headers: Record<string, string> = json) =>
    call('PUT', cart, { headers, payload })
  t.match((await raw(grows)).json(), { status: 413, code: 'data_value_too_large' })
  t.match((await raw('')).json(), { code: 'data_value_invalid', detail: /no body/ })
  t.match((await raw('{')).json(), { status: 400, code: 'request_malformed' })
  t.match((await raw('{"__proto__":1}')).json(), { code: 'request_malformed', detail: /__proto__/ })
  const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
  t.match((await raw(deep)).json(), { status: 422, code: 'data_value_invalid' })
  const infinite = { status: 422, code: 'data_value_invalid' }
  t.match((await raw('{"n":[1e400]}')).json(), infinite, 'it would be stored as null')
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

t.test('a field of another client does not change how names with escapes are read', async (t) => {
  const { get, call } = await startVerifier(t)
  const put = (payload: string) =>
    call('PUT', cart, { headers: { 'content-type': 'application/json' }, payload })
  t.equal((await put('{"a":1,"gr\\\\u0":2}')).statusCode, 201)
  // From here on, JSON.parse of Node 24 finds that name in this text, too. Python writes such texts.
  t.equal((await put('{"a":1,"gr\\u00f6\\u00dfe":2}')).statusCode, 204)
  t.same((await get(cart)).json(), { a: 1, größe: 2 })
  t.equal((await put('{"a":1,"\\\\u005f_pr":2}')).statusCode, 204)
  const hidden = await put('{"a":1,"\\u005f_proto__":2}')
  t.match(hidden.json(), { status: 400, detail: /__proto__/ }, 'the name of a prototype')
})

t.test('lists of a user that nobody reads do not fill the memory', async (t) => {
  const store = newDataStore(t)
  const read = store.read.bind(store)
  let reads = 0
  store.read = (...request) => {
    reads += 1
    return read(...request)
  }
  const { app, get, put } = await startVerifier(t, { store })
  const value = 'x'.repeat(maxValueBytes - 2)
  for (let n = 0; n < maxFields; n += 1) await put(`/data/user/f${n}`, value)
  const sockets: Socket[] = []
  app.server.on('connection', (socket: Socket) => sockets.push(socket))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const clients = Array.from({ length: 5 }, () => {
    const client = connect(port, '127.0.0.1').pause()
    t.teardown(() => client.destroy())
    client.write(
      `GET /data/user HTTP/1.1\r\nHost: x\r\nAuthorization: ${tokenOf().authorization}\r\n\r\n`,
    )
    return client
  })
  await until(
    'all have asked',
    () => sockets.length === 5 && sockets.every(({ bytesRead }) => bytesRead > 0) && reads >= 4,
  )
  t.match((await get('/data/user', tokenOf({ sub: 'another user' }))).json(), { fields: {} })
  t.equal(reads, 5, 'the fifth list of the first user waits')
  for (const client of clients) client.destroy()
  t.equal(Object.keys((await get('/data/user')).json().fields).length, maxFields)
})

t.test('reading and writing need a token with their scope', async (t) => {
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

t.test('session data lives as long as the session, user data longer', async (t) => {
  const { clock, get, put } = await startVerifier(t)
  const claims = { auth_time: now_s - 1_000 }
  await put(cart, 1, tokenOf(claims))
  await put('/data/user/theme', 1)
  const left_s = lifetimes.sessionMaxSeconds + lifetimes.accessTtlSeconds - 1_000
  const later = (seconds: number) =>
    tokenOf({ ...claims, iat: now_s + seconds, exp: now_s + seconds + 300 })
  clock.advance_s(left_s - 1)
  t.equal((await get(cart, later(left_s - 1))).statusCode, 200)
  clock.advance_s(1)
  t.equal((await get(cart, later(left_s))).statusCode, 404)
  t.equal((await get('/data/user/theme', later(left_s))).statusCode, 200)
})

t.test('a full server evicts fields, and each counts as a miss', async (t) => {
  const [redis, memcached] = await Promise.all([
    startRedis(t, { options: ['--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-lru'] }),
    startMemcached(t, { options: ['-m', '2'] }),
  ])
  for (const store of [
    await RedisDataStore.open(redis.url, patient),
    await MemcachedDataStore.open(memcached.url, patient),
  ]) {
    t.teardown(() => store.close())
    const { get, put, metrics } = await startVerifier(t, { store, lifetimes: longLifetimes })
    const carts = Array.from({ length: 200 }, (_, n) => ({
      token: tokenOf({ sid: `session-${n}` }),
      value: `${n} `.repeat(4_000),
    }))
    for (const { token, value } of carts) t.equal((await put(cart, value, token)).statusCode, 201)
    let misses = 0
    for (const { token, value } of carts) {
      const answer = await get(cart, token)
      if (answer.statusCode === 404) misses += 1
      else t.equal(answer.json(), value, 'its own')
    }
    t.ok(misses > 0 && misses < carts.length, `${misses} misses`)
    const text = await metrics.registry.metrics()
    t.match(text, new RegExp(`^gatepass_data_misses_total ${misses}$`, 'm'))
    t.match(text, new RegExp(`^gatepass_data_hits_total ${carts.length - misses}$`, 'm'))
  }
})

t.test('a silent or stopped store is 503 with Retry-After', async (t) => {
  const [redis, memcached] = await Promise.all([startRedis(t), startMemcached(t)])
  const options = { deadlineMs: 100 }
  for (const [server, store] of [
    [redis, await RedisDataStore.open(redis.url, options)],
    [memcached, await MemcachedDataStore.open(memcached.url, options)],
  ] as const) {
    t.teardown(() => store.close())
    const { get, put, remove, metrics, call } = await startVerifier(t, { store })
    for (const fails of ['freeze', 'kill'] as const) {
      await server[fails]()
      for (const response of [await get(cart), await put(cart, 1), await remove(cart)]) {
        t.match(response.json(), { status: 503, code: 'store_unavailable' })
        t.equal(response.headers['retry-after'], '1')
      }
    }
    t.equal((await call('GET', '/verify')).statusCode, 200)
    t.match(
      await metrics.registry.metrics(),
      'gatepass_data_operation_duration_seconds_count{operation="read",outcome="unavailable"} 2',
    )
  }
})
