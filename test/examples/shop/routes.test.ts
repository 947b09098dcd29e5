import t from 'tap'
import { freePort, isFree } from '../../../scripts/free-port.ts'
import { RawClient } from '../../support/raw-client.ts'
import { until } from '../../support/until.ts'
import { newPerson, newToken, personWith, startReplicas } from './replicas.ts'

const shops = await startReplicas(t, 2, {
  GATEPASS_DATA_URL: 'sqlite:data.db',
  SHOP_ALLOWED_ORIGINS: 'https://front.example.com',
  // Unset, as Compose passes it.
  GATEPASS_REVOCATIONS_URL: '',
  GATEPASS_DATA_SECRET_FILE: '',
})
const [shop, other] = shops

const shirt = { product: 'shirt', name: 'Linen shirt', price_cents: 5900 }
const empty = { items: [], total_cents: 0, currency: 'EUR' }

t.test('the catalogue needs no token', async (t) => {
  const anybody = personWith('')
  const all = await anybody.get(shop, '/products')
  t.equal(all.status, 200)
  t.equal(all.headers.get('cache-control'), 'public, max-age=60')
  t.equal(all.body.currency, 'EUR')
  for (const { id, price_cents } of all.body.products) {
    t.ok(Number.isSafeInteger(price_cents), `${id} costs whole cents`)
    const one = await anybody.get(other, `/products/${id}`)
    t.match(one.body, { id, price_cents, currency: 'EUR' })
  }
  const missing = await anybody.get(shop, '/products/yacht')
  t.match(missing, { status: 404, body: { code: 'product_unknown', status: 404 } })
  const malformed = await anybody.get(shop, '/products/%E0')
  t.match(malformed, { status: 400, body: { code: 'request_malformed', status: 400 } })
})

t.test('every other route requires a token and a scope', async (t) => {
  const routes = [
    ['GET', '/cart', 'data:read'],
    ['POST', '/cart/items', 'data:write'],
    ['DELETE', '/cart/items/shirt', 'data:write'],
    ['POST', '/checkout', 'data:write'],
    ['GET', '/orders', 'data:read'],
    ['GET', '/preferences', 'data:read'],
    ['PUT', '/preferences', 'data:write'],
  ] as const
  for (const [method, path, scope] of routes) {
    const nobody = await personWith('x').call(method, shop, path)
    t.match(nobody, { status: 401, body: { code: 'token_malformed' } }, path)
    t.match(nobody.headers.get('www-authenticate'), /^Bearer error="invalid_token"/)
    const without = newPerson({ scope: scope === 'data:read' ? 'data:write' : 'data:read' })
    const refused = await without.call(method, shop, path)
    t.match(refused, { status: 403, body: { code: 'scope_insufficient' } }, path)
    t.match(refused.headers.get('www-authenticate'), `scope="${scope}"`)
    t.equal(refused.headers.get('content-type'), 'application/problem+json; charset=utf-8')
  }
})

t.test('identity headers of a proxy are ignored', async (t) => {
  const { url = '' } = shop ?? {}
  const headers = { 'x-auth-subject': 'ada', 'x-auth-session': 's', 'x-auth-scope': 'data:read' }
  t.equal((await fetch(`${url}/cart`, { headers })).status, 401)
})

t.test('a cart is filled and emptied at every replica', async (t) => {
  const ada = newPerson()
  t.same((await ada.get(shop, '/cart')).body, empty)
  const added = await ada.add(shop, 'shirt', 2)
  const expected = {
    items: [{ ...shirt, quantity: 2 }],
    total_cents: 11_800,
    currency: 'EUR',
  }
  t.match(added, { status: 200, body: expected })
  t.equal(added.headers.get('x-replica'), 'shop-1')
  t.equal(added.headers.get('cache-control'), 'no-store')
  const seen = await ada.get(other, '/cart')
  t.same(seen.body, expected)
  t.equal(seen.headers.get('x-replica'), 'shop-2')
  t.equal(seen.headers.get('cache-control'), 'no-store')
  await ada.add(other, 'socks')
  t.same(await ada.cart(shop), { shirt: 2, socks: 1 })
  const removed = await ada.call('DELETE', shop, '/cart/items/shirt')
  t.match(removed, { status: 200, body: { total_cents: 1290 } })
  // As often as one likes.
  t.equal((await ada.call('DELETE', other, '/cart/items/shirt')).status, 200)
  t.same(await ada.cart(other), { socks: 1 })
  t.same((await newPerson().get(shop, '/cart')).body, empty, 'nobody else has it')
})

t.test('an addition that is repeated with its key counts once', async (t) => {
  const ada = newPerson()
  t.same((await ada.add(shop, 'hat', 2, 'one')).body, (await ada.add(other, 'hat', 2, 'one')).body)
  await ada.add(shop, 'hat', 1, 'two')
  t.same(await ada.cart(shop), { hat: 3 })
  t.equal((await ada.checkOut(shop)).status, 201)
  await ada.add(other, 'hat', 1, 'two')
  t.same(await ada.cart(shop), {}, 'it was ordered already')
})

t.test('a cart has its limits', async (t) => {
  const ada = newPerson()
  t.equal((await ada.add(shop, 'mug', 1_000)).status, 200)
  t.match(await ada.add(shop, 'mug'), { status: 422, body: { code: 'cart_full' } })
  t.same(await ada.cart(shop), { mug: 1_000 })
})

t.test('a checkout turns the cart into an order', async (t) => {
  const ada = newPerson()
  t.match(await ada.checkOut(shop), { status: 409, body: { code: 'cart_empty' } })
  await ada.add(shop, 'shirt', 2)
  await ada.add(shop, 'mug')
  const made = await ada.checkOut(other, 'click-1')
  t.match(made, { status: 201, body: { total_cents: 12_750, currency: 'EUR' } })
  t.same(made.body.lines[0], { ...shirt, quantity: 2 })
  t.equal(new Date(made.body.at).toISOString(), made.body.at)
  t.same(await ada.cart(shop), {})
  const again = await ada.checkOut(shop, 'click-1')
  t.equal(again.status, 200)
  t.same(again.body, made.body)
  await ada.add(shop, 'lamp')
  const second = await ada.checkOut(shop, 'click-2')
  t.same((await ada.get(other, '/orders')).body, { orders: [second.body, made.body] })
})

t.test('orders and preferences belong to the user on every device', async (t) => {
  const [here, there] = [newPerson({ sub: 'bob' }), newPerson({ sub: 'bob' })]
  t.same((await here.get(shop, '/preferences')).body, { language: 'en', newsletter: false })
  const body = { language: 'fr', newsletter: true }
  t.match(await here.call('PUT', shop, '/preferences', { body }), { status: 200, body })
  t.same((await there.get(other, '/preferences')).body, body)
  await here.add(shop, 'bag')
  t.same(await there.cart(shop), {}, 'the cart is of the session')
  const { body: order } = await here.checkOut(shop)
  t.same((await there.get(other, '/orders')).body, { orders: [order] })
})

t.test('an invalid request is refused with its problems and changes nothing', async (t) => {
  const ada = newPerson()
  const item = { product: 'shirt', quantity: 1 }
  const bad: readonly (readonly [unknown, string])[] = [
    [{ ...item, quantity: 0 }, '/body/quantity'],
    [{ ...item, quantity: -1 }, '/body/quantity'],
    [{ ...item, quantity: 1.5 }, '/body/quantity'],
    [{ ...item, quantity: 1_001 }, '/body/quantity'],
    [{ ...item, quantity: '1' }, '/body/quantity'],
    [{ product: 'shirt' }, '/body/quantity'],
    [{ ...item, product: 'x'.repeat(65) }, '/body/product'],
    [{ ...item, price_cents: 1 }, '/body'],
    ['[]', '/body'],
    ['null', '/body'],
  ]
  for (const [body, pointer] of bad) {
    const answer = await ada.call('POST', shop, '/cart/items', { body })
    const errors = [{ pointer: new RegExp(`^${pointer}$`) }]
    t.match(answer, { status: 422, body: { code: 'request_invalid', errors } })
  }
  for (const product of ['yacht', '', '__proto__', 'constructor']) {
    t.match(await ada.add(shop, product), { status: 404, body: { code: 'product_unknown' } })
  }
  const long = await ada.call('POST', shop, '/checkout', { key: 'x'.repeat(256) })
  t.match(long, { status: 422, body: { errors: [{ pointer: '/headers/idempotency-key' }] } })
  for (const body of [{ language: 'xx', newsletter: true }, { language: 'en' }, { admin: true }]) {
    t.equal((await ada.call('PUT', shop, '/preferences', { body })).status, 422)
  }
  t.same(await ada.cart(shop), {})
})

t.test('invalid JSON, a large body and an unknown route are problems, too', async (t) => {
  const ada = newPerson()
  const post = (body: string, type = 'application/json') =>
    ada.call('POST', shop, '/cart/items', { body, headers: { 'content-type': type } })
  for (const [answer, status, code] of [
    [await post('{"product":'), 400, 'request_malformed'],
    [await post('{"__proto__":{"x":1}}'), 400, 'request_malformed'],
    [await post('a=b', 'application/x-www-form-urlencoded'), 415, 'request_malformed'],
    [await post(JSON.stringify({ product: 'x'.repeat(20_000) })), 413, 'request_malformed'],
    [await ada.get(shop, '/nowhere'), 404, 'route_not_found'],
    [await ada.call('PATCH', shop, '/cart'), 404, 'route_not_found'],
  ] as const) {
    t.match(answer, { status, body: { status, code } })
    t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8')
    t.equal(answer.headers.get('x-replica'), 'shop-1')
  }
})

t.test('only pages of its front end may call it', async (t) => {
  const preflight = (origin: string) =>
    fetch(`${shop?.url}/cart/items`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,idempotency-key',
      },
    })
  const allowed = await preflight('https://front.example.com')
  t.equal(allowed.status, 204)
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://front.example.com')
  t.match(allowed.headers.get('access-control-allow-headers'), /idempotency-key/)
  t.equal(allowed.headers.get('access-control-allow-credentials'), null)
  const others = await preflight('https://evil.example.com')
  t.not(others.headers.get('access-control-allow-origin'), 'https://evil.example.com')
  // A page must be able to read why it was refused.
  const refused = await fetch(`${shop?.url}/cart`, {
    headers: { origin: 'https://front.example.com' },
  })
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('access-control-allow-origin'), 'https://front.example.com')
  t.match(refused.headers.get('access-control-expose-headers'), /x-replica/)
})

t.test('a stopped replica answers requests in progress and closes its connections', async (t) => {
  const port = await freePort()
  const [one] = await startReplicas(t, 1, {
    GATEPASS_DATA_URL: 'sqlite:data.db',
    SHOP_PORT: String(port),
  })
  const [kept, late] = [new RawClient(t, port), new RawClient(t, port)]
  const products = 'GET /products HTTP/1.1\r\nHost: x\r\n\r\n'
  const hasProducts = /^HTTP\/1\.1 200 .*"products"/s
  // It is in flight when the shop stops listening: its body is not whole.
  const head = [
    ...['PUT /preferences HTTP/1.1', 'Host: x', `Authorization: Bearer ${newToken()}`],
    ...['Content-Type: application/json', 'Content-Length: 2'],
  ].join('\r\n')
  kept.send(`${head}\r\n\r\n{`)
  late.send(products.slice(0, -1))
  t.match(await new RawClient(t, port).ask(products), hasProducts, 'by then both have begun')
  const exited = one?.process.stop()
  await until('it listens no more', () => isFree(port))
  t.match(await late.ask(products.slice(-1)), hasProducts)
  t.match(await kept.ask('}'), /^HTTP\/1\.1 [24]/)
  t.equal(await exited, 0)
})

t.test('a replica reports its health and stops cleanly', async (t) => {
  const anybody = personWith('')
  t.match(await anybody.get(shop, '/livez'), { status: 200, body: { status: 'ok' } })
  t.match(await anybody.get(shop, '/readyz'), { status: 200, body: { keys: 'ok' } })
  for (const { process } of shops) {
    t.equal(await process.stop(), 0)
    t.match(process.stdout, /^\{"msg":"ready".*\}\n$/, 'it has said nothing else')
    t.equal(process.stderr, '')
  }
})
