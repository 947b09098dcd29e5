import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { ErrorCode } from '../../src/core/errors.ts'
import { gatepassAuth, securitySchemes } from '../../src/verifier/fastify.ts'
import {
  authorizationScheme,
  challengeHeaders,
  createGuard,
  isScopeList,
  presentedToken,
  type RouteAuth,
  type TokenScheme,
} from '../../src/verifier/guard.ts'
import { createVerifier, GatepassError, type Verifier } from '../../src/verifier/index.ts'
import { audience, claimsWith, mint } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'

const headers = { authorization: `Bearer ${mint(keyOf('ES256'))}` }

async function guardedApp(t: Test, given = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(gatepassAuth, { ...options, ...given })
  return app
}

async function codeOf(app: FastifyInstance, url: string): Promise<string> {
  const response = await app.inject({ url, headers })
  return response.statusCode === 200 ? 'accepted' : response.json().code
}

t.test('a route requires an audience', async (t) => {
  const other = 'https://billing.test'
  const app = await guardedApp(t)
  app.get('/a', { config: { auth: { audience } } }, () => 'ok')
  app.get('/b', { config: { auth: { audience: other } } }, () => 'ok')
  app.get('/c', { config: { auth: { audience: [other, audience] } } }, () => 'ok')
  // Twice, because the second time the token comes from the cache.
  for (const _ of [1, 2]) {
    t.equal(await codeOf(app, '/a'), 'accepted')
    t.equal(await codeOf(app, '/b'), 'token_claims')
    t.equal(await codeOf(app, '/c'), 'accepted')
  }
})

t.test('the scope of a request is required besides the requirements of its route', async (t) => {
  const target = () => ({ method: '', uri: '' })
  const check = async (auth: RouteAuth, scope?: string) =>
    createGuard(createVerifier(options), auth).check(headers, target, scope)
  const route = { audience: 'https://billing.test', scope: 'other' }
  await t.rejects(check(route, 'orders:read'), { code: 'token_claims' })
  await t.rejects(check({ scope: 'other' }), { code: 'scope_insufficient' })
  t.same(await check({ scope: 'other' }, 'orders:read'), claimsWith())
})

t.test('a route fails closed', async (t) => {
  let stalenessSeconds = 0
  const revocations = { isRevoked: () => false, stalenessSeconds: () => stalenessSeconds }
  const app = await guardedApp(t, { revocations })
  app.get('/open', () => 'ok')
  app.get('/closed', { config: { auth: { failClosed: true } } }, () => 'ok')
  app.get('/strict', { config: { auth: { failClosed: { maxStalenessSeconds: 2 } } } }, () => 'ok')
  const none = { failClosed: { maxStalenessSeconds: 0 }, scope: undefined }
  app.get('/none', { config: { auth: none as never } }, () => 'ok')
  const codes = async () => [
    await codeOf(app, '/open'),
    await codeOf(app, '/closed'),
    await codeOf(app, '/strict'),
    await codeOf(app, '/none'),
  ]
  const stale = 'revocations_stale'
  t.same(await codes(), ['accepted', 'accepted', 'accepted', 'accepted'])
  stalenessSeconds = 1
  t.same(await codes(), ['accepted', 'accepted', 'accepted', stale])
  stalenessSeconds = 3
  t.same(await codes(), ['accepted', 'accepted', stale, stale])
  stalenessSeconds = 60
  t.same(await codes(), ['accepted', stale, stale, stale])
  const refused = await app.inject({ url: '/closed', headers })
  t.equal(refused.statusCode, 503)
  t.equal(refused.headers['retry-after'], '1')
})

t.test('a misspelt requirement prevents the start', async (t) => {
  const app = await guardedApp(t, { openapi: true })
  for (const auth of [
    null,
    [],
    'a',
    { scope: ['a'] },
    { scope: '' },
    { scope: 'a,"b"' },
    { audience: '' },
    { audience: [] },
    { audience: [1] },
    { failClosed: 'yes' },
    { failClosed: {} },
    { failClosed: { maxStalenessSeconds: -1 } },
    { failClosed: { maxStalenessSeconds: Number.POSITIVE_INFINITY } },
    { failClosed: { maxStalenessSeconds: 1, more: 1 } },
    { toString: 'a' },
  ]) {
    t.throws(
      () => app.get('/', { config: { auth: auth as never } }, () => 'ok'),
      { code: 'config_invalid' },
      JSON.stringify(auth),
    )
  }
})

t.test('checks a token once a request, HEAD too', async (t) => {
  const inner = createVerifier(options)
  let checks = 0
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(gatepassAuth, {
    verifier: {
      ...inner,
      verify: (...given) => {
        checks += 1
        return inner.verify(...given)
      },
    },
  })
  app.get('/', () => 'ok')
  await app.inject({ method: 'GET', url: '/', headers })
  t.equal(checks, 1)
  await app.inject({ method: 'HEAD', url: '/', headers })
  t.equal(checks, 2)
})

t.test('a verifier that wraps another one is asked', async (t) => {
  /** A verifier of an application, with a further check. */
  class Strict implements Verifier {
    readonly inner = createVerifier(options)
    readonly error = new GatepassError('token_revoked')
    ready = () => this.inner.ready()
    verifySync = () => this.refuse()
    status = () => this.inner.status()
    close = () => this.inner.close()
    async verify() {
      return this.refuse()
    }
    private refuse(): never {
      throw this.error
    }
  }
  const strict = new Strict()
  const verify = () => strict.verify()
  const wrappers: Record<string, Verifier> = {
    class: strict,
    copy: { ...strict.inner, verify },
    heir: Object.assign(Object.create(strict.inner), { verify }),
    changed: Object.assign(createVerifier(options), { verify }),
    // A mock of node:test is a Proxy. Other spies have the properties of the method.
    mocked: { ...strict.inner, verify: new Proxy(strict.inner.verify, { apply: verify }) },
    spied: { ...strict.inner, verify: Object.assign(() => verify(), strict.inner.verify) },
  }
  for (const [name, verifier] of Object.entries(wrappers)) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(gatepassAuth, { verifier })
    app.get('/', () => 'ok')
    t.equal(await codeOf(app, '/'), 'token_revoked', name)
  }
  const verifier = createVerifier(options)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(gatepassAuth, { verifier })
  app.get('/', () => 'ok')
  t.equal(await codeOf(app, '/'), 'accepted')
  Object.assign(verifier, { verify })
  t.equal(await codeOf(app, '/'), 'token_revoked', 'changed later')
})

t.test('a copy of a route has the requirements of its own', async (t) => {
  const app = await guardedApp(t)
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => void routes.push(route))
  app.get('/orders', () => 'ok')
  const [orders] = routes
  if (orders === undefined) throw new Error('there is no route')
  app.route({ ...orders, url: '/admin', config: { auth: { scope: 'admin' } } })
  t.equal(await codeOf(app, '/orders'), 'accepted')
  t.equal(await codeOf(app, '/admin'), 'scope_insufficient')
})

t.test('several issuers behind one plugin', async (t) => {
  const { issuer, jwks, clock } = options
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(gatepassAuth, {
    ...(clock && { clock }),
    issuers: [{ issuer, audience, ...(jwks && { jwks }) }],
  })
  app.get('/', (request) => request.auth)
  t.same((await app.inject({ url: '/', headers })).json(), claimsWith())
})

t.test('the OpenAPI document has the required token of each route', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: { openapi: '3.1.0', components: { securitySchemes } } })
  await app.register(gatepassAuth, { ...options, openapi: true })
  const own = [{ bearer: ['own'] }]
  app.get('/plain', () => 'ok')
  app.get('/scope', { config: { auth: { scope: 'a b' } } }, () => 'ok')
  app.get('/dpop', { config: { auth: { dpop: true } } }, () => 'ok')
  app.get('/open', { config: { auth: false } }, () => 'ok')
  app.get('/own', { schema: { security: own } }, () => 'ok')
  await app.ready()
  const { paths = {}, components } = app.swagger() as {
    paths?: Record<string, { get?: { security?: unknown } }>
    components?: object
  }
  const security = (path: string) => paths[path]?.get?.security
  t.same(security('/plain'), [{ bearer: [] }])
  t.same(security('/scope'), [{ bearer: ['a', 'b'] }])
  t.same(security('/dpop'), [{ dpop: [] }])
  t.equal(security('/open'), undefined)
  t.same(security('/own'), own)
  t.match(components, { securitySchemes: { bearer: { scheme: 'bearer' }, dpop: {} } })
  t.equal((await app.inject('/plain')).statusCode, 401)
})

const target = { method: 'GET', uri: 'https://api.test/' }
const tokenOf = (authorization: string | undefined, dpop?: string | string[]) =>
  presentedToken({ authorization, dpop }, () => target)

t.test('reads a Bearer token', async (t) => {
  for (const header of ['Bearer a.b.c', 'bearer a.b.c', 'BEARER a.b.c']) {
    t.same(tokenOf(header, 'a proof'), { token: 'a.b.c', dpop: undefined })
  }
})

t.test('reads a DPoP token, with its proof and target', async (t) => {
  for (const header of ['DPoP a.b.c', 'dpop a.b.c', 'DPOP a.b.c']) {
    t.same(tokenOf(header, 'x.y.z'), { token: 'a.b.c', dpop: { proof: 'x.y.z', ...target } })
    t.same(tokenOf(header), { token: 'a.b.c', dpop: { proof: undefined, ...target } })
    t.match(tokenOf(header, ['x', 'y']), { dpop: { proof: 'x,y' } })
  }
})

t.test('reads the target of a request for a DPoP token only', async (t) => {
  const target = () => t.fail('it was asked')
  presentedToken({ authorization: 'Bearer a.b.c' }, target as never)
  t.end()
})

t.test('without a header, or with another scheme, the token is missing', async (t) => {
  for (const header of [undefined, '', 'Basic YTpi', 'a.b.c', 'Bearer,', 'Bearera.b.c', 'DPoP,']) {
    t.throws(() => tokenOf(header), { code: 'token_missing' }, `${header}`)
    t.equal(authorizationScheme(header), null)
  }
})

t.test('refuses anything but one token after the scheme', async (t) => {
  for (const scheme of ['Bearer', 'DPoP']) {
    for (const rest of ['', ' ', '  a.b.c', ' a.b.c ', ' a b', ' a.b.c, Basic x']) {
      t.throws(() => tokenOf(`${scheme}${rest}`), { code: 'token_malformed' }, `${scheme}${rest}`)
      t.equal(authorizationScheme(`${scheme}${rest}`), scheme)
    }
  }
})

const challengeOf = (code: ErrorCode, scope?: string, scheme?: TokenScheme) =>
  challengeHeaders(new GatepassError(code), scope, scheme)

t.test('the challenge for a missing token has no error', async (t) => {
  t.same(challengeOf('token_missing'), { 'www-authenticate': 'Bearer' })
})

t.test('the challenge for a refused token has invalid_token and the error code', async (t) => {
  for (const code of [
    'token_malformed',
    'token_signature',
    'token_expired',
    'token_revoked',
  ] as const) {
    t.same(challengeOf(code, 'read'), {
      'www-authenticate': `Bearer error="invalid_token", error_description="${code}"`,
    })
  }
})

t.test('the challenge names the missing scope', async (t) => {
  t.same(challengeOf('scope_insufficient', 'orders:read orders:write'), {
    'www-authenticate': 'Bearer error="insufficient_scope", scope="orders:read orders:write"',
  })
})

t.test('the DPoP challenge names the accepted algorithms', async (t) => {
  const algs = 'algs="ES256 Ed25519 RS256 PS256 ML-DSA-44"'
  t.same(challengeOf('token_missing', '', 'DPoP'), { 'www-authenticate': `DPoP ${algs}` })
  t.same(challengeOf('token_expired', '', 'DPoP'), {
    'www-authenticate': `DPoP error="invalid_token", error_description="token_expired", ${algs}`,
  })
  t.same(challengeOf('scope_insufficient', 'read', 'DPoP'), {
    'www-authenticate': 'DPoP error="insufficient_scope", scope="read"',
  })
})

t.test('errors about proofs have a DPoP challenge, for any scheme', async (t) => {
  for (const [code, error] of [
    ['token_unbound', 'invalid_token'],
    ['dpop_proof_missing', 'invalid_token'],
    ['dpop_proof_invalid', 'invalid_dpop_proof'],
    ['dpop_proof_replayed', 'invalid_dpop_proof'],
    ['use_dpop_nonce', 'use_dpop_nonce'],
  ] as const) {
    const start = `DPoP error="${error}", error_description="${code}", algs="`
    t.ok(challengeOf(code, '', 'Bearer')['www-authenticate']?.startsWith(start))
  }
  const { 'www-authenticate': challenge = '' } = challengeOf('dpop_proof_missing', '', 'DPoP')
  t.match(challenge, /^DPoP error="invalid_dpop_proof"/)
})

t.test('a scope cannot inject a header', async (t) => {
  for (const scope of ['a"b', 'a\\b', 'a\r\nset-cookie: x', 'ä', '', '\0']) {
    t.same(challengeOf('scope_insufficient', scope), {
      'www-authenticate': 'Bearer error="insufficient_scope"',
    })
    t.notOk(isScopeList(scope))
  }
})

t.test('unavailable keys have a Retry-After', async (t) => {
  t.same(challengeOf('keys_unavailable'), { 'retry-after': '1' })
  const error = new GatepassError('keys_unavailable', { retryAfterSeconds: 7 })
  t.same(challengeHeaders(error), { 'retry-after': '7' })
})

t.test('other errors have no challenge', async (t) => {
  t.same(challengeOf('internal_error'), {})
})
