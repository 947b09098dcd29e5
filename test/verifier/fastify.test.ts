import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { type ErrorCode, GatepassError, isGatepassError } from '../../src/core/errors.ts'
import { type GatepassAuthOptions, gatepassAuth } from '../../src/verifier/fastify.ts'
import { createVerifier, type Verifier } from '../../src/verifier/index.ts'
import { audience, claimsWith, mint, now_s } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'
import { JwksServer, respond, serve } from './jwks-server.ts'

const key = keyOf('ES256')
const bearer = (changes = {}) => ({
  authorization: `Bearer ${mint(key, { payload: claimsWith(changes) })}`,
})
const good = bearer()

function makeApp(t: Test, settings = {}): FastifyInstance {
  const app = Fastify(settings)
  t.teardown(() => app.close())
  return app
}

async function guardedApp(t: Test, given: GatepassAuthOptions = options): Promise<FastifyInstance> {
  const app = makeApp(t)
  await app.register(gatepassAuth, given)
  return app
}

/** The statuses without a token and with a good one. */
async function statuses(app: FastifyInstance, url: string, method = 'GET'): Promise<number[]> {
  const inject = (headers = {}) => app.inject({ method: method as 'GET', url, headers })
  return [(await inject()).statusCode, (await inject(good)).statusCode]
}

t.test('guards every route, and sets the claims', async (t) => {
  const app = await guardedApp(t)
  app.get('/orders', (request) => request.auth)
  const response = await app.inject({ url: '/orders', headers: good })
  t.equal(response.statusCode, 200)
  t.same(response.json(), claimsWith())
  t.same(await statuses(app, '/orders'), [401, 200])
})

t.test('guards every method, and the HEAD route that Fastify adds', async (t) => {
  const app = await guardedApp(t)
  app.all('/all', () => 'ok')
  app.get('/get', () => 'ok')
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    t.same(await statuses(app, '/all', method), [401, 200], method)
  }
  t.same(await statuses(app, '/get', 'HEAD'), [401, 200])
})

t.test('a route opts out in its configuration', async (t) => {
  const app = await guardedApp(t)
  app.get('/prices', { config: { auth: false } }, (request) => ({ auth: request.auth }))
  for (const headers of [{}, good, { authorization: 'Bearer garbage' }]) {
    const response = await app.inject({ url: '/prices', headers })
    t.same(response.json(), { auth: null })
  }
  t.same(await statuses(app, '/prices', 'HEAD'), [200, 200])
})

t.test('a route requires scopes', async (t) => {
  const app = await guardedApp(t)
  app.get('/a', { config: { auth: { scope: 'orders:read' } } }, () => 'ok')
  app.get('/b', { config: { auth: { scope: 'orders:read orders:write' } } }, () => 'ok')
  app.get('/c', { config: { auth: {} } }, () => 'ok')
  t.same(await statuses(app, '/a'), [401, 200])
  t.same(await statuses(app, '/b'), [401, 403])
  t.same(await statuses(app, '/b', 'HEAD'), [401, 403])
  t.same(await statuses(app, '/c'), [401, 200])
  const refused = await app.inject({ url: '/b', headers: good })
  t.equal(refused.json().code, 'scope_insufficient')
  t.equal(
    refused.headers['www-authenticate'],
    'Bearer error="insufficient_scope", scope="orders:read orders:write"',
  )
  for (const scope of ['orders:read orders:write', 'x orders:write orders:read']) {
    const response = await app.inject({ url: '/b', headers: bearer({ scope }) })
    t.equal(response.statusCode, 200)
  }
  for (const scope of [undefined, '', 'orders:read-orders:write', 'Orders:read orders:write']) {
    const response = await app.inject({ url: '/b', headers: bearer({ scope }) })
    t.equal(response.statusCode, 403)
  }
})

t.test('a misspelt requirement prevents the start', async (t) => {
  const app = await guardedApp(t)
  for (const auth of [
    true,
    'false',
    null,
    0,
    [],
    { scopes: 'a' },
    { scope: '' },
    { scope: ' ' },
    { scope: 1 },
    { scope: 'a"b' },
    { scope: ['a'] },
  ]) {
    t.throws(
      () => app.get('/', { config: { auth: auth as never } }, () => 'ok'),
      { code: 'config_invalid' },
      JSON.stringify(auth),
    )
  }
})

t.test('invalid options prevent the start', async (t) => {
  const app = makeApp(t)
  app.register(gatepassAuth, { ...options, audience: undefined } as unknown as GatepassAuthOptions)
  await t.rejects(async () => app.ready(), { code: 'config_invalid' })
  for (const verifier of [undefined, {}]) {
    const other = makeApp(t)
    other.register(gatepassAuth, { verifier } as unknown as GatepassAuthOptions)
    await t.rejects(async () => other.ready(), { code: 'config_invalid' })
  }
  for (const openapi of [null, 'false', {}]) {
    const other = makeApp(t)
    other.register(gatepassAuth, { ...options, openapi } as unknown as GatepassAuthOptions)
    await t.rejects(async () => other.ready(), { code: 'config_invalid', message: /^openapi must/ })
  }
  // These options would have no effect.
  for (const ignored of [{ audience: 'https://admin.test' }, { publicURL: 'https://api.test' }]) {
    const verifier = createVerifier(options)
    const app = makeApp(t)
    app.register(gatepassAuth, { verifier, ...ignored } as GatepassAuthOptions)
    await t.rejects(async () => app.ready(), { code: 'config_invalid' })
  }
})

t.test('a route is guarded without an await of register', async (t) => {
  const app = makeApp(t)
  app.get('/before', () => 'ok')
  app.register(gatepassAuth, options)
  app.get('/a', (request) => request.auth)
  app.get('/b', { config: { auth: false } }, () => 'ok')
  app.get('/c', { config: { auth: { scope: 'orders:write' } } }, () => 'ok')
  app.post('/d', () => 'ok')
  t.same(await statuses(app, '/a'), [401, 200])
  t.same((await app.inject({ url: '/a', headers: good })).json(), claimsWith())
  t.same(await statuses(app, '/b'), [200, 200])
  t.same(await statuses(app, '/c'), [401, 403])
  t.same(await statuses(app, '/c', 'HEAD'), [401, 403])
  t.same(await statuses(app, '/d', 'POST'), [401, 200])
  t.same(await statuses(app, '/before'), [401, 200])
})

t.test('guards nested scopes, and not sibling scopes', async (t) => {
  const app = makeApp(t)
  app.get('/outside', () => 'ok')
  await app.register(async (guarded) => {
    await guarded.register(gatepassAuth, { ...options, prefix: '/ignored', logLevel: 'warn' })
    guarded.get('/inside', () => 'ok')
    guarded.register(
      async (inner) => {
        inner.get('/', () => 'ok')
        inner.get('/free', { config: { auth: false } }, () => 'ok')
      },
      { prefix: '/inner' },
    )
  })
  await app.register(async (beside) => beside.get('/beside', () => 'ok'))
  t.same(await statuses(app, '/outside'), [200, 200])
  t.same(await statuses(app, '/beside'), [200, 200])
  t.same(await statuses(app, '/inside'), [401, 200])
  t.same(await statuses(app, '/inner'), [401, 200])
  t.same(await statuses(app, '/inner/'), [401, 200])
  t.same(await statuses(app, '/inner/free'), [200, 200])
})

t.test('does not guard a scope that was registered earlier', async (t) => {
  const app = makeApp(t)
  app.register(async (earlier) => earlier.get('/earlier', () => 'ok'))
  app.register(gatepassAuth, options)
  app.register(async (later) => later.get('/later', () => 'ok'))
  t.same(await statuses(app, '/earlier'), [200, 200])
  t.same(await statuses(app, '/later'), [401, 200])
})

t.test('cannot be registered twice in one scope or within it', async (t) => {
  const app = await guardedApp(t)
  app.register(async (inner) => {
    await inner.register(gatepassAuth, options)
  })
  await t.rejects(async () => app.ready(), {
    code: 'config_invalid',
    message: /registered here or in a scope around it/,
  })
})

t.test('an unknown address stays 404', async (t) => {
  const app = await guardedApp(t)
  t.same(await statuses(app, '/nowhere'), [404, 404])
})

t.test(
  'the guard runs before the hooks of a route, and after those of the application',
  async (t) => {
    const app = await guardedApp(t)
    app.addHook('onRequest', async ({ auth }) => void t.equal(auth, null))
    app.addHook('preHandler', async ({ auth }) => void t.equal(auth?.sub, 'user-1'))
    const seen: (string | undefined)[] = []
    const see = async (request: { auth: { sub: string } | null }) =>
      void seen.push(request.auth?.sub)
    app.get('/one', { onRequest: see }, () => 'ok')
    app.get('/many', { onRequest: [see, see] }, () => 'ok')
    t.same(await statuses(app, '/one'), [401, 200])
    t.same(await statuses(app, '/many'), [401, 200])
    t.same(seen, ['user-1', 'user-1', 'user-1'])
  },
)

t.test('refuses before it reads the body', async (t) => {
  const app = await guardedApp(t)
  app.post('/', () => 'ok')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  socket.write(
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n',
  )
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 401 /)
  socket.destroy()
})

t.test('refuses with a challenge of RFC 6750', async (t) => {
  const app = await guardedApp(t)
  app.get('/', () => 'ok')
  const invalid = (code: string) => `Bearer error="invalid_token", error_description="${code}"`
  const cases: [Record<string, string>, string, string][] = [
    [{}, 'token_missing', 'Bearer'],
    [{ authorization: 'Basic YTpi' }, 'token_missing', 'Bearer'],
    [{ authorization: 'Bearer' }, 'token_malformed', invalid('token_malformed')],
    [{ authorization: 'Bearer a b' }, 'token_malformed', invalid('token_malformed')],
    [bearer({ exp: now_s - 60 }), 'token_expired', invalid('token_expired')],
    [bearer({ aud: 'x' }), 'token_claims', invalid('token_claims')],
  ]
  for (const [headers, code, challenge] of cases) {
    const response = await app.inject({ url: '/', headers })
    t.equal(response.statusCode, 401, code)
    t.equal(response.json().code, code)
    t.equal(response.headers['www-authenticate'], challenge)
  }
  for (const scheme of ['bearer', 'BEARER']) {
    const authorization = good.authorization.replace('Bearer', scheme)
    t.equal((await app.inject({ url: '/', headers: { authorization } })).statusCode, 200)
  }
})

t.test('reads a token from the Authorization header only', async (t) => {
  const app = await guardedApp(t)
  app.post('/', () => 'ok')
  const token = mint(key)
  const response = await app.inject({
    method: 'POST',
    url: `/?access_token=${token}`,
    headers: { cookie: `access_token=${token}`, 'x-auth-subject': 'user-1' },
    payload: { access_token: token },
  })
  t.equal(response.json().code, 'token_missing')
})

t.test('the error handler of the application receives an error of onRefused', async (t) => {
  const app = await guardedApp(t, {
    ...options,
    onRefused: (error) => {
      throw error
    },
  })
  app.setErrorHandler((error, _request, reply) => {
    const code = isGatepassError(error) ? error.code : 'other'
    return reply.code(401).send({ mine: code })
  })
  app.get('/', () => 'ok')
  const response = await app.inject('/')
  t.same(response.json(), { mine: 'token_missing' })
  t.equal(response.headers['www-authenticate'], 'Bearer')
})

t.test('a token that a handler refuses gets a challenge, too', async (t) => {
  const app = await guardedApp(t)
  app.get('/:code', { config: { auth: false } }, ({ params }) => {
    throw new GatepassError((params as { code: ErrorCode }).code)
  })
  for (const [code, name, value] of [
    ['scope_insufficient', 'www-authenticate', 'Bearer error="insufficient_scope"'],
    ['dpop_proof_missing', 'www-authenticate', /^DPoP error="invalid_token"/],
    ['keys_unavailable', 'retry-after', '1'],
    ['store_unavailable', 'retry-after', undefined],
  ] as const) {
    const { headers } = await app.inject({ url: `/${code}`, headers: good })
    t.match({ value: headers[name] }, { value }, code)
  }
})

t.test('a response of onRefused is not replaced while the hooks onSend run', async (t) => {
  const lines: string[] = []
  const app = makeApp(t, { logger: { stream: { write: (line: string) => lines.push(line) } } })
  app.addHook('onSend', async (_request, _reply, payload) => {
    await setImmediate()
    return payload
  })
  await app.register(gatepassAuth, {
    ...options,
    onRefused: (_error, { url }, reply) => {
      const answer = () => reply.type('text/html').send('Sign in first.')
      if (url === '/') return void answer()
      // As `reply.view` of @fastify/view does.
      void setImmediate().then(answer)
      return reply
    },
  })
  app.get('/', () => 'ok')
  app.get('/later', () => 'ok')
  for (const url of ['/', '/later']) {
    const response = await app.inject(url)
    t.equal(response.statusCode, 401)
    t.match(response.headers['content-type'], /^text.html/)
    t.equal(response.body, 'Sign in first.')
  }
  t.notOk(lines.some((line) => line.includes('already sent')))
})

t.test(
  'starts without keys, answers 503 until they are loaded, and closes its verifier',
  async (t) => {
    // Without it, another fetch follows in a tenth of a second.
    const server = await JwksServer.open(t, respond(500, '', { 'retry-after': '60' }))
    const lines: string[] = []
    const app = makeApp(t, { logger: { stream: { write: (line: string) => lines.push(line) } } })
    const requested = server.nextRequest()
    await app.register(gatepassAuth, { issuer: server.issuer, audience, fetchTimeoutMs: 5000 })
    app.get('/', () => 'ok')
    await app.ready()
    await requested
    const response = await app.inject({ url: '/', headers: good })
    t.equal(response.statusCode, 503)
    t.equal(response.json().code, 'keys_unavailable')
    t.equal(response.headers['retry-after'], '1')
    t.equal(response.headers['www-authenticate'], undefined)
    t.equal((await app.inject('/')).statusCode, 401, 'no token needs no key')
    t.ok(lines.some((line) => line.includes('"level":40') && line.includes('status 500')))
    await app.close()
    t.equal(server.requests, 1)
  },
)

t.test('loads the keys before the first request', async (t) => {
  const server = await JwksServer.open(t, serve([key]))
  const app = await guardedApp(t, {
    issuer: server.issuer,
    audience,
    clock: options.clock ?? { nowMs: Date.now },
  })
  app.get('/', () => 'ok')
  const requested = server.nextRequest()
  await app.ready()
  await requested
  const headers = bearer({ iss: server.issuer })
  t.equal((await app.inject({ url: '/', headers })).statusCode, 200)
  t.equal(server.requests, 1)
})

t.test('does not close a verifier of the application', async (t) => {
  const events: string[] = []
  const inner = createVerifier(options)
  const verifier: Verifier = { ...inner, close: async () => void events.push('closed') }
  const app = await guardedApp(t, { verifier })
  app.get('/', () => 'ok')
  t.same(await statuses(app, '/'), [401, 200])
  await app.close()
  t.same(events, [])
})

t.test('no log line quotes a token', async (t) => {
  const lines: string[] = []
  const logger = { level: 'trace', stream: { write: (line: string) => lines.push(line) } }
  const app = makeApp(t, { logger })
  await app.register(gatepassAuth, options)
  app.get('/', () => 'ok')
  const tokens = [
    mint(key),
    mint(key, { payload: claimsWith({ exp: 1 }) }),
    mint(key, { payload: '{"x' }),
  ]
  const changed = tokens.map((token) => `${token.slice(0, -8)}AAAAAAAA`)
  for (const token of [...tokens, ...changed, 'secret', 'secret.secret.secret']) {
    await app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
    for (const part of token.split('.')) t.notOk(lines.some((line) => line.includes(part)))
  }
  t.ok(lines.some((line) => line.includes('token_expired')))
})
