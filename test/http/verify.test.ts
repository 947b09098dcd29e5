import { once } from 'node:events'
import { get, type IncomingHttpHeaders, METHODS, type OutgoingHttpHeaders } from 'node:http'
import t, { type Test } from 'tap'
import { Metrics } from '../../src/http/metrics.ts'
import { identityHeaders } from '../../src/http/routes/verify.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { FakeClock } from '../support/clock.ts'
import fc from '../support/properties.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../support/tokens.ts'
import { openVerifierApp } from '../support/verifier-app.ts'

const key = makeKey('ES256')
const scope = 'data:read data:write'
const good = mint(key, { payload: claimsWith({ scope }) })

interface SeenResponse {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
}

async function start(t: Test) {
  const clock = new FakeClock(now_s * 1000)
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] }, clock })
  const metrics = new Metrics()
  const app = openVerifierApp(t, verifier, { service: { metrics } })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  async function call(
    token: string,
    url = '/verify',
    method = 'GET',
    more: OutgoingHttpHeaders = {},
  ): Promise<SeenResponse> {
    const headers = { ...more, authorization: `Bearer ${token}` }
    const sent = get(`${address}${url}`, { method, headers, agent: false })
    const [response] = await once(sent, 'response')
    response.resume()
    const { date, ...others } = response.headers
    return { status: response.statusCode, headers: others }
  }
  return { address, call, metrics, verifier, clock }
}

type Service = Awaited<ReturnType<typeof start>>

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
  // Node closes the connection of a CONNECT.
  for (const method of METHODS.filter((method) => method !== 'CONNECT')) {
    t.equal((await call(good, '/verify', method)).status, 200, method)
    const malformed = { 'content-type': 'malformed' }
    t.equal((await call(good, '/verify', method, malformed)).status, 200, `${method} with a type`)
  }
  t.equal((await call(good, '/whoami', 'PROPFIND')).status, 405)
  t.equal((await call(good, '/verify/')).status, 404)
  t.equal((await call(`${good}x`)).status, 401)
  t.equal((await call(good, '/whoami')).status, 200)
  clock.advance_s(400)
  const expired = await call(good)
  t.equal(expired.status, 401)
  t.match(expired.headers['www-authenticate'], 'token_expired')
  t.equal(verifier.status().outcomes.token_expired, 1)
})

/** Calls `/verify` twice. The second response comes from the token cache. */
async function verifyTwice({ address }: Service, claims: Record<string, unknown>) {
  const headers = { authorization: `Bearer ${mint(key, { payload: claimsWith(claims) })}` }
  await fetch(`${address}/verify`, { headers })
  return fetch(`${address}/verify`, { headers })
}

const odd = [
  ' admin',
  'admin ',
  '  admin\t ',
  ' ',
  '\tadmin',
  'admin\n',
  '\u00a0admin\u00a0',
  '%20admin',
  'Müller, Ada  B.',
  '😀 "x"; y=z',
]

t.test('I14: each header carries its claim exactly', async (t) => {
  const service = await start(t)
  for (const text of odd) {
    const { headers } = await verifyTwice(service, {
      sub: text,
      sid: text,
      scope: text,
      client_id: text,
    })
    for (const name of ['subject', 'session', 'scope', 'client']) {
      const value = headers.get(`x-auth-${name}`) ?? ''
      t.equal(decodeURIComponent(value), text, `${name}: ${value}`)
    }
  }
  const plain = await verifyTwice(service, { scope: 'a b', sub: 'ada@example.com' })
  t.equal(plain.headers.get('x-auth-scope'), 'a b')
  t.equal(plain.headers.get('x-auth-subject'), 'ada@example.com')
})

t.test('I14: different values of a claim have different headers', async (t) => {
  const character = fc.constantFrom(' ', '%', '2', '0', 'a', '\t', 'ü', '\u00a0', '😀')
  const texts = fc.string({ unit: fc.oneof(character, fc.string({ maxLength: 1 })) })
  fc.assert(
    fc.property(texts, (sub) => {
      const value =
        identityHeaders(claimsWith({ sub }) as unknown as AccessTokenClaims)?.['x-auth-subject'] ??
        ''
      // As a recipient reads it (RFC 9110 §5.5).
      return decodeURIComponent(value.replace(/^[ \t]+|[ \t]+$/g, '')) === sub
    }),
  )
  // A pattern that tries each of the spaces as its start would take minutes.
  const sub = `%${' '.repeat(1_000_000)}b`
  const headers = identityHeaders(claimsWith({ sub }) as unknown as AccessTokenClaims)
  t.equal(decodeURIComponent(headers?.['x-auth-subject'] ?? ''), sub)
})

t.test('I14: a claim that no header can carry is refused', async (t) => {
  const service = await start(t)
  for (const name of ['sub', 'sid', 'scope', 'client_id']) {
    const response = await verifyTwice(service, { [name]: 'a\ud800' })
    t.equal(response.status, 401, name)
    t.match(await response.json(), { code: 'token_claims', detail: /No header/ })
    t.match(response.headers.get('www-authenticate'), /^Bearer error="invalid_token"/)
    t.equal(response.headers.get('x-auth-subject'), null)
  }
})

t.test('the service names wrong claims only if it is configured to', async (t) => {
  const verifier = createVerifier({
    issuer,
    audience,
    jwks: { keys: [key.publicJwk] },
    clock: new FakeClock(now_s * 1000),
  })
  const payload = claimsWith({ aud: 'https://secret.test', sub: '' })
  const authorization = `Bearer ${mint(key, { payload })}`
  const problems = [{ pointer: '/sub', detail: 'must be a string that is not empty' }]
  for (const namesClaims of [undefined, false, true]) {
    const service = namesClaims === undefined ? {} : { namesClaims }
    const app = openVerifierApp(t, verifier, { service })
    for (const url of ['/verify', '/whoami']) {
      const response = await app.inject({ url, headers: { authorization } })
      t.match(response.json(), { status: 401, code: 'token_claims' })
      t.same(response.json().errors, namesClaims === true ? problems : undefined)
      t.ok(response.json().request_id)
      t.notMatch(response.body, 'secret')
    }
  }
})
