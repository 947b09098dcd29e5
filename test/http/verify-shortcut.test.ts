import { once } from 'node:events'
import { get, type IncomingHttpHeaders } from 'node:http'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Metrics } from '../../src/http/metrics.ts'
import { buildVerifierApp } from '../../src/http/verifier-app.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { audience, claimsWith, issuer, makeKey, mint, TestClock } from '../support/tokens.ts'

const key = makeKey('ES256')
const scope = 'data:read data:write'
const good = mint(key, { payload: claimsWith({ scope }) })

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
}

async function start(t: Test) {
  const clock = new TestClock()
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] }, clock })
  const metrics = new Metrics()
  const logger = pino({ level: 'silent' })
  const app = buildVerifierApp({ logger, metrics, version: '0', verifier })
  t.teardown(() => app.close())
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  async function call(token: string, url = '/verify', method = 'GET'): Promise<Answer> {
    const headers = { authorization: `Bearer ${token}` }
    const sent = get(`${address}${url}`, { method, headers, agent: false })
    const [response] = await once(sent, 'response')
    response.resume()
    const { date, ...others } = response.headers
    return { status: response.statusCode, headers: others }
  }
  async function shortcuts(): Promise<number> {
    const text = await metrics.registry.getSingleMetricAsString('gatepass_verify_requests_total')
    return Number(text.split(' ').at(-1))
  }
  return { call, shortcuts, verifier, clock }
}

t.test('the answer to a known token is that of the route, and both are counted', async (t) => {
  const { call, shortcuts, verifier } = await start(t)
  const odd = claimsWith({ sub: 'a%\r\nx-auth-scope: all ü ', scope, client_id: 'a b' })
  for (const token of [good, mint(key, { payload: odd })]) {
    const before = await shortcuts()
    const route = await call(token)
    t.equal(await shortcuts(), before)
    const known = await call(token)
    t.equal(await shortcuts(), before + 1)
    t.same(known, route)
    t.equal(route.status, 200)
  }
  t.match(verifier.status(), { outcomes: { accepted: 4 }, cache: { hits: 2, misses: 2 } })
})

t.test('a scope is asked for as the route does', async (t) => {
  const { call, shortcuts } = await start(t)
  const url = '/verify?scope=data:read'
  t.same(await call(good, url), await call(good, url))
  t.equal(await shortcuts(), 1)
  t.equal((await call(good, '/verify?scope=admin')).status, 403)
  t.equal((await call(good, url)).status, 200)
  t.equal(await shortcuts(), 2)
  t.equal((await call(good, '/verify?scope=data:read%20admin')).status, 403)
  t.equal((await call(good, '/verify?scope=data:read+admin')).status, 403)
  t.equal((await call(good, '/verify?scope=data:read&scope=admin')).status, 422)
  t.equal((await call(good, '/verify?scope=')).status, 200)
  t.equal(await shortcuts(), 2)
})

t.test('what is not plain, or not accepted, goes to the route', async (t) => {
  const { call, shortcuts, verifier, clock } = await start(t)
  await call(good)
  for (const method of ['HEAD', 'POST', 'PUT']) {
    t.equal((await call(good, '/verify', method)).status, 200, method)
  }
  t.equal((await call(good, '/verify/')).status, 404)
  t.equal((await call(`${good}x`)).status, 401)
  t.equal((await call(good, '/whoami')).status, 200)
  clock.advance_s(400)
  const expired = await call(good)
  t.equal(expired.status, 401)
  t.match(expired.headers['www-authenticate'], 'token_expired')
  t.equal(await shortcuts(), 0)
  t.equal(verifier.status().outcomes.token_expired, 1)
})
