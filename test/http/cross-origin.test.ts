import t from 'tap'
import { startVerifier } from '../support/data.ts'
import { issuerUrl, password, startIssuer } from '../support/issuer.ts'

const front = 'https://app.example.com'
const evil = 'https://evil.example'

interface Row {
  readonly title: string
  readonly headers: Record<string, string>
  readonly allowed: boolean
}

const table: Row[] = [
  { title: 'no browser', headers: {}, allowed: true },
  { title: 'own page', headers: { 'sec-fetch-site': 'same-origin' }, allowed: true },
  { title: 'own page of an old browser', headers: { origin: issuerUrl }, allowed: true },
  { title: 'typed address', headers: { 'sec-fetch-site': 'none' }, allowed: true },
  {
    title: 'configured front end',
    headers: { 'sec-fetch-site': 'same-site', origin: front },
    allowed: true,
  },
  {
    title: 'sibling that is not configured',
    headers: { 'sec-fetch-site': 'same-site', origin: 'https://blog.example.com' },
    allowed: false,
  },
  {
    title: 'other site',
    headers: { 'sec-fetch-site': 'cross-site', origin: evil },
    allowed: false,
  },
  { title: 'other site of an old browser', headers: { origin: evil }, allowed: false },
  {
    title: 'sandboxed page',
    headers: { 'sec-fetch-site': 'cross-site', origin: 'null' },
    allowed: false,
  },
  {
    title: 'navigation without origin',
    headers: { 'sec-fetch-site': 'cross-site' },
    allowed: false,
  },
]

for (const { title, headers, allowed } of table) {
  t.test(`I3: ${title} is ${allowed ? 'let through' : 'refused'}`, async (t) => {
    const issuer = await startIssuer(t, { allowedOrigins: [front] })
    const { refresh_token } = await issuer.signIn()
    const cookies = { '__Host-gatepass': refresh_token }
    const answers = [
      await issuer.call({
        method: 'POST',
        url: '/login',
        body: { username: 'ada', password },
        headers,
      }),
      await issuer.call({ method: 'POST', url: '/refresh', cookies, headers }),
      await issuer.call({ method: 'POST', url: '/logout', cookies, headers }),
    ]
    const statuses = answers.map(({ statusCode }) => statusCode)
    t.same(statuses, allowed ? [200, 200, 204] : [403, 403, 403])
    if (!allowed) t.match(answers[0]?.json(), { code: 'origin_not_allowed' })
  })
}

t.test('only a configured front end gets CORS with credentials', async (t) => {
  const issuer = await startIssuer(t, { allowedOrigins: [front] })
  const preflight = (origin: string) =>
    issuer.call({
      method: 'OPTIONS',
      url: '/refresh',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,idempotency-key',
      },
    })
  const { headers, statusCode } = await preflight(front)
  t.equal(statusCode, 204)
  t.equal(headers['access-control-allow-origin'], front)
  t.equal(headers['access-control-allow-credentials'], 'true')
  t.match(headers['access-control-allow-headers'], /idempotency-key/)
  t.not((await preflight(evil)).headers['access-control-allow-origin'], evil)
  // A browser is redirected to the pages, so no script may call them (RFC 9700 §2.6).
  for (const url of ['/oauth/authorize', '/oauth/sign-in', '/oauth/consent', '/oauth/logout']) {
    for (const method of ['GET', 'POST', 'OPTIONS'] as const) {
      const page = { origin: front, 'access-control-request-method': 'GET' }
      const { headers } = await issuer.call({ method, url, headers: page })
      const names = Object.keys(headers).filter((name) => name.startsWith('access-control-'))
      t.same(names, [], `${method} ${url}`)
    }
  }
})

t.test('a configured front end may send its cookies to each route', async (t) => {
  const issuer = await startIssuer(t, { allowedOrigins: [front] })
  for (const url of ['/oauth/userinfo', '/oauth/token', '/.well-known/openid-configuration']) {
    for (const [origin, allowed] of [
      [front, { 'access-control-allow-origin': front, 'access-control-allow-credentials': 'true' }],
      [evil, { 'access-control-allow-origin': '*' }],
    ] as const) {
      const headers = { origin, 'access-control-request-method': 'POST' }
      const preflight = await issuer.call({ method: 'OPTIONS', url, headers })
      t.equal(preflight.statusCode, 204)
      t.match(preflight.headers, allowed, `${url} from ${origin}`)
      t.match(preflight.headers['access-control-allow-headers'], /authorization.*dpop/)
    }
  }
})

/** The CORS headers of a response, and its cookies. */
function corsOf({ headers }: { headers: Record<string, unknown> }) {
  const names = Object.keys(headers).filter((name) => /^access-control-|^set-cookie$/.test(name))
  return Object.fromEntries(names.map((name) => [name, headers[name]]))
}

for (const allowedOrigins of [[], [front]]) {
  const configured = allowedOrigins.length === 0 ? 'none' : 'another one'
  t.test(`a page reads that its origin is not allowed, where ${configured} is`, async (t) => {
    const issuer = await startIssuer(t, { allowedOrigins })
    const page = { origin: evil, 'sec-fetch-site': 'cross-site' }
    const preflight = await issuer.call({
      method: 'OPTIONS',
      url: '/login',
      headers: { ...page, 'access-control-request-method': 'POST' },
    })
    t.equal(preflight.statusCode, 204)
    t.same(corsOf(preflight), {
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'content-type, dpop',
    })
    for (const more of [{}, { body: { username: 'ada', password } }]) {
      const response = await issuer.call({ method: 'POST', url: '/login', headers: page, ...more })
      t.match(response.json(), { status: 403, code: 'origin_not_allowed' })
      t.same(corsOf(response), { 'access-control-allow-origin': '*' })
    }
    t.same(issuer.audit(), [])
    for (const [method, url] of [
      ['OPTIONS', '/refresh'],
      ['OPTIONS', '/logout/all'],
      ['POST', '/refresh'],
      ['GET', '/me'],
      ['GET', '/nowhere'],
    ] as const) {
      const headers = { ...page, 'access-control-request-method': 'POST' }
      const response = await issuer.call({ method, url, headers })
      t.notOk('access-control-allow-origin' in response.headers, `${method} ${url}`)
    }
  })
}

t.test('an OPTIONS request that is no preflight is refused like any other method', async (t) => {
  const issuer = await startIssuer(t, { allowedOrigins: [front] })
  const verifier = await startVerifier(t, { allowedOrigins: [front] })
  for (const headers of [{}, { origin: front }, { 'access-control-request-method': 'GET' }]) {
    const options = { method: 'OPTIONS', headers } as const
    const known = await issuer.call({ ...options, url: '/refresh' })
    t.match(known.json(), { status: 405, code: 'method_not_allowed' })
    t.equal(known.headers.allow, 'POST')
    const unknown = await issuer.call({ ...options, url: '/nowhere' })
    t.match(unknown.json(), { status: 404, code: 'route_not_found' })
    const page = await verifier.app.inject({ ...options, url: '/whoami' })
    t.match(page.json(), { status: 405, code: 'method_not_allowed' })
    t.equal(page.headers.allow, 'GET, HEAD')
  }
})

t.test('a page can read metadata that a cache has kept for another page', async (t) => {
  const issuer = await startIssuer(t)
  for (const url of ['/.well-known/jwks.json', '/.well-known/openid-configuration']) {
    const { headers } = await issuer.call({ method: 'GET', url })
    t.match(headers['cache-control'], /^public/)
    t.equal(headers['access-control-allow-origin'], '*', url)
  }
})

t.test('an allowed page can read the response', async (t) => {
  const issuer = await startIssuer(t, { allowedOrigins: [front] })
  const headers = { origin: front, 'sec-fetch-site': 'same-site' }
  const response = await issuer.call({ method: 'POST', url: '/login', headers })
  t.match(response.json(), { code: 'request_invalid' })
  t.match(corsOf(response), {
    'access-control-allow-origin': front,
    'access-control-allow-credentials': 'true',
  })
  t.same(response.cookies, [])
})

t.test('a token in the body needs no origin, because no browser adds it by itself', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  const headers = { 'sec-fetch-site': 'cross-site', origin: evil }
  t.equal((await issuer.refresh(refresh_token, headers)).statusCode, 200)
})

const cart = '/data/session/cart'

const preflight = (method: string, origin = front) => ({
  headers: { origin, 'access-control-request-method': method },
})

t.test('a page of an allowed origin can call with a token', async (t) => {
  const { call, put } = await startVerifier(t, { allowedOrigins: [front] })
  for (const url of [cart, '/data/session', '/whoami']) {
    const { statusCode, headers } = await call('OPTIONS', url, preflight('PUT'))
    t.equal(statusCode, 204, url)
    t.equal(headers['access-control-allow-origin'], front)
    t.match(headers['access-control-allow-headers'], /authorization.*if-match/)
    t.match(headers['access-control-allow-methods'], /PUT, DELETE/)
    t.notOk('access-control-allow-credentials' in headers)
  }
  const written = await put(cart, 1, { origin: front })
  t.equal(written.headers['access-control-allow-origin'], front)
  t.match(written.headers['access-control-expose-headers'], /etag/)
  const refused = await call('GET', cart, { headers: { origin: front, authorization: '' } })
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers['access-control-allow-origin'], front, 'it may read why')
})

t.test('a page of another origin cannot call with a token', async (t) => {
  const { call } = await startVerifier(t, { allowedOrigins: [front] })
  const { headers } = await call('OPTIONS', cart, preflight('PUT', evil))
  t.not(headers['access-control-allow-origin'], evil)
  t.notOk(headers['access-control-allow-origin'] === '*')
})

t.test('without allowed origins there is no CORS', async (t) => {
  const { call, put } = await startVerifier(t)
  t.equal((await call('OPTIONS', cart, preflight('PUT'))).statusCode, 405)
  t.notOk('access-control-allow-origin' in (await put(cart, 1, { origin: front })).headers)
})

t.test('/verify answers no preflight, because a proxy would let it through', async (t) => {
  const { app } = await startVerifier(t, { allowedOrigins: [front] })
  const response = await app.inject({ method: 'OPTIONS', url: '/verify', ...preflight('GET') })
  t.equal(response.statusCode, 401)
  t.notOk('access-control-allow-origin' in response.headers)
})
