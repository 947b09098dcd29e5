import t from 'tap'
import { startVerifier } from '../support/data.ts'

const origin = 'https://app.example.com'
const cart = '/data/session/cart'

const preflight = (method: string, from = origin) => ({
  headers: { origin: from, 'access-control-request-method': method },
})

t.test('a page of an allowed origin can call with a token', async (t) => {
  const { call, put } = await startVerifier(t, { allowedOrigins: [origin] })
  for (const url of [cart, '/data/session', '/whoami']) {
    const { statusCode, headers } = await call('OPTIONS', url, preflight('PUT'))
    t.equal(statusCode, 204, url)
    t.equal(headers['access-control-allow-origin'], origin)
    t.match(headers['access-control-allow-headers'], /authorization.*if-match/)
    t.match(headers['access-control-allow-methods'], /PUT, DELETE/)
    t.notOk('access-control-allow-credentials' in headers)
  }
  const written = await put(cart, 1, { origin })
  t.equal(written.headers['access-control-allow-origin'], origin)
  t.match(written.headers['access-control-expose-headers'], /etag/)
  const refused = await call('GET', cart, { headers: { origin, authorization: '' } })
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers['access-control-allow-origin'], origin, 'it may read why')
})

t.test('a page of another origin cannot', async (t) => {
  const { call } = await startVerifier(t, { allowedOrigins: [origin] })
  const { headers } = await call('OPTIONS', cart, preflight('PUT', 'https://evil.example'))
  t.not(headers['access-control-allow-origin'], 'https://evil.example')
  t.notOk(headers['access-control-allow-origin'] === '*')
})

t.test('without allowed origins there is no CORS', async (t) => {
  const { call, put } = await startVerifier(t)
  t.equal((await call('OPTIONS', cart, preflight('PUT'))).statusCode, 405)
  t.notOk('access-control-allow-origin' in (await put(cart, 1, { origin })).headers)
})

t.test('/verify answers no preflight, because a proxy would let it through', async (t) => {
  const { app } = await startVerifier(t, { allowedOrigins: [origin] })
  const response = await app.inject({ method: 'OPTIONS', url: '/verify', ...preflight('GET') })
  t.equal(response.statusCode, 401)
  t.notOk('access-control-allow-origin' in response.headers)
})
