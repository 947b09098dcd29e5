import express from 'express'
import Fastify, { type FastifyInstance } from 'fastify'
import { processResourceDiscoveryResponse } from 'oauth4webapi'
import t, { type Test } from 'tap'
import { requireToken, resourceMetadata as serveMetadata } from '../../src/verifier/express.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import { resourceMetadata, tokenGuard } from '../../src/verifier/fetch.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import {
  createResourceMetadata,
  type ProtectedResource,
} from '../../src/verifier/protected-resource.ts'
import { startHttpServer } from '../support/http-server.ts'
import { issuer, mint } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'

const verifier = createVerifier(options)
const resource = 'https://api.test/mcp'
const path = '/.well-known/oauth-protected-resource/mcp'
const url = `https://api.test${path}`
const authorization = `Bearer ${mint(keyOf('ES256'))}`

type Send = (path: string, init?: RequestInit) => Promise<Response>

/** An API by each adapter. `/mcp` needs a token, and `/mcp/admin` a scope that no token has. */
const apis: Readonly<Record<string, (t: Test) => Promise<Send>>> = {
  fastify: async (t) => {
    const app = Fastify()
    await app.register(gatepassAuth, { verifier, resource })
    app.get('/mcp', () => ({}))
    app.get('/mcp/admin', { config: { auth: { scope: 'admin' } } }, () => ({}))
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    t.teardown(() => app.close())
    return (path, init) => fetch(address + path, init)
  },
  express: async (t) => {
    const app = express()
    app.use(serveMetadata(verifier, resource))
    app.get('/mcp', requireToken(verifier, { resource }), (_request, response) => {
      response.json({})
    })
    app.get('/mcp/admin', requireToken(verifier, { resource, scope: 'admin' }))
    const { url } = await startHttpServer(t, app)
    return (path, init) => fetch(url + path, init)
  },
  fetch: async () => {
    const metadata = resourceMetadata(verifier, resource)
    const guard = tokenGuard(verifier, { resource })
    const admins = tokenGuard(verifier, { resource, scope: 'admin' })
    return async (path, init) => {
      const request = new Request(`https://api.test${path}`, init)
      const described = metadata(request)
      if (described !== null) return described
      const { pathname } = new URL(request.url)
      if (!pathname.startsWith('/mcp')) return new Response('', { status: 404 })
      const { refusal } = await (pathname === '/mcp' ? guard : admins)(request)
      return refusal ?? Response.json({})
    }
  },
}

for (const [name, open] of Object.entries(apis)) {
  t.test(`${name}: a client finds the metadata by the challenge`, async (t) => {
    const send = await open(t)
    const challengeOf = async (path: string, headers: Record<string, string> = {}) => {
      const response = await send(path, { headers })
      return [response.status, response.headers.get('www-authenticate')]
    }
    t.same(await challengeOf('/mcp'), [401, `Bearer resource_metadata="${url}"`])
    t.same(await challengeOf('/mcp', { authorization: 'Bearer x' }), [
      401,
      `Bearer error="invalid_token", error_description="token_malformed", resource_metadata="${url}"`,
    ])
    t.same(await challengeOf('/mcp/admin', { authorization }), [
      403,
      `Bearer error="insufficient_scope", scope="admin", resource_metadata="${url}"`,
    ])
    t.equal((await send('/mcp', { headers: { authorization } })).status, 200)

    const response = await send(`${path}?a=1`)
    t.equal(response.headers.get('access-control-allow-origin'), '*')
    t.equal(response.headers.get('cache-control'), 'public, max-age=300')
    t.equal(response.headers.get('content-type'), 'application/json')
    // oauth4webapi compares the resource with the address that it asked.
    const metadata = await processResourceDiscoveryResponse(new URL(resource), response)
    t.match(metadata, { authorization_servers: [issuer], bearer_methods_supported: ['header'] })
    const head = await send(path, { method: 'HEAD' })
    t.same([head.status, await head.text()], [200, ''])
  })

  t.test(`${name}: no other request gets the metadata`, async (t) => {
    const send = await open(t)
    const others = [
      '/.well-known/oauth-protected-resource',
      `${path}/`,
      `${path}/x`,
      `/mcp${path}`,
      path.toUpperCase(),
    ]
    for (const other of others) t.not((await send(other)).status, 200, other)
    t.not((await send(path, { method: 'POST' })).status, 200)
  })
}

t.test('the path of the resource follows the well-known path', async (t) => {
  const urlOf = (given: string | ProtectedResource) => createResourceMetadata(verifier, given).url
  const root = '/.well-known/oauth-protected-resource'
  t.equal(urlOf('https://api.test'), `https://api.test${root}`)
  t.equal(urlOf('https://api.test/'), `https://api.test${root}`)
  t.equal(urlOf('https://api.test/a/b'), `https://api.test${root}/a/b`)
  t.equal(urlOf('https://api.test/a/'), `https://api.test${root}/a/`)
  t.equal(urlOf('http://127.0.0.1:3000/mcp'), `http://127.0.0.1:3000${root}/mcp`)
  t.equal(urlOf({ resource }), url)
})

t.test('the metadata has what the application says, and nothing else', async (t) => {
  const bodyOf = (given: ProtectedResource) =>
    JSON.parse(createResourceMetadata(verifier, given).body)
  t.same(Object.keys(bodyOf({ resource })), [
    'resource',
    'authorization_servers',
    'bearer_methods_supported',
    'dpop_signing_alg_values_supported',
  ])
  t.match(
    bodyOf({
      resource,
      authorizationServers: ['https://other.test/realm'],
      scopes: ['orders:read', 'orders:write'],
      name: 'Orders',
      documentation: 'https://api.test/docs',
    }),
    {
      authorization_servers: ['https://other.test/realm'],
      scopes_supported: ['orders:read', 'orders:write'],
      resource_name: 'Orders',
      resource_documentation: 'https://api.test/docs',
    },
  )
})

t.test('the metadata names each issuer of the verifier that has an address', async (t) => {
  const { issuer: _, audience, jwks, ...common } = options as never as Record<string, never>
  const several = createVerifier({
    ...common,
    issuers: [issuer, 'https://other.test/', 'a name'].map((each) => ({
      issuer: each,
      audience: audience as unknown as string,
      jwks: jwks as never,
    })),
  })
  const { body } = createResourceMetadata(several, resource)
  t.same(JSON.parse(body).authorization_servers, [issuer, 'https://other.test/'])
  const nameless = createVerifier({ ...options, issuer: 'a name' })
  t.throws(() => createResourceMetadata(nameless, resource), { code: 'config_invalid' })
})

t.test('a wrong description of the resource prevents the start', async (t) => {
  const wrong: unknown[] = [
    ...['', 'api.test', 'ftp://api.test', 'https://user@api.test', 'https://api.test/mcp?a=1'],
    ...[
      'https://api.test/#a',
      'https://api.test/a"b',
      'https://api.test/:id',
      'https://api.test/*',
    ],
    ...[
      'https://API.test',
      'https://api.test:443',
      'https://api.test/a/../b',
      'https://api.test/%61',
    ],
    ...['https://api.test/a"', 'https://api.test/\r\nx', 1, null, [], {}],
    { resource, scope: 'a' },
    { resource, scopes: ['a b'] },
    { resource, scopes: 'a' },
    { resource, scopes: [] },
    { resource, scopes: [1] },
    { resource, scopes: ['"'] },
    { resource, authorizationServers: [] },
    { resource, authorizationServers: ['a'] },
    { resource, name: '' },
    { resource, documentation: 'javascript:alert(1)' },
  ]
  for (const given of wrong) {
    const invalid = { code: 'config_invalid' }
    t.throws(() => requireToken(verifier, { resource: given as string }), invalid, String(given))
    t.throws(() => tokenGuard(verifier, { resource: given as string }), invalid)
    t.throws(() => serveMetadata(verifier, given as string), invalid)
    t.throws(() => resourceMetadata(verifier, given as string), invalid)
    await t.rejects(
      Promise.resolve(Fastify().register(gatepassAuth, { verifier, resource: given as string })),
      invalid,
    )
  }
})

t.test(
  'fastify: several scopes have one route, which needs a scope without a prefix',
  async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    const guarded = async (scope: FastifyInstance) => {
      await scope.register(gatepassAuth, { verifier, resource })
    }
    await app.register(guarded)
    await app.register(guarded)
    t.equal((await app.inject(path)).statusCode, 200)
    t.equal((await app.inject('/elsewhere')).statusCode, 404)
    await t.rejects(Promise.resolve(Fastify().register(guarded, { prefix: '/v1' })), {
      code: 'config_invalid',
    })
  },
)
