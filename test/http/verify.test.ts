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
  const app = buildVerifierApp({ service: { logger, metrics, version: '0' }, verifier })
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
  return { call, metrics, verifier, clock }
}

t.test('a cached token gets the same answer as a new one, and both are counted', async (t) => {
  const { call, metrics, verifier } = await start(t)
  const odd = claimsWith({ sub: 'a%\r\nx-auth-scope: all ü ', scope, client_id: 'a b' })
  for (const token of [good, mint(key, { payload: odd })]) {
    const first = await call(token)
    t.equal(first.status, 200)
    t.same(await call(token), first)
  }
  t.match(verifier.status(), { outcomes: { accepted: 4 }, cache: { hits: 2, misses: 2 } })
  const figures = await metrics.registry.metrics()
  t.match(figures, /duration_seconds_count\{method="GET",route="\/verify",status="200"\} 4\n/)
})

t.test('a token must have every scope of the query', async (t) => {
  const { call } = await start(t)
  const statuses = {
    '/verify?scope=data:read': 200,
    '/verify?scope=data:read%20data:write': 200,
    '/verify?scope=': 200,
    '/verify?scope=admin': 403,
    '/verify?scope=data:read%20admin': 403,
    '/verify?scope=data:read+admin': 403,
    '/verify?scope=data:read&scope=admin': 422,
  }
  for (const [url, status] of Object.entries(statuses)) {
    t.equal((await call(good, url)).status, status, url)
    t.equal((await call(good, url)).status, status, `${url} again`)
  }
})

t.test('any method is accepted, and no token outlives its expiry', async (t) => {
  const { call, verifier, clock } = await start(t)
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
  t.equal(verifier.status().outcomes.token_expired, 1)
})
