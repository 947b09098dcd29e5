import t from 'tap'
import { issuerUrl, startIssuer } from '../support/issuer.ts'

t.test('the JWKS is cacheable and revalidated by ETag', async (t) => {
  const issuer = await startIssuer(t)
  const url = '/.well-known/jwks.json'
  const first = await issuer.call({ url })
  t.match(first.headers, {
    'content-type': /^application\/jwk-set\+json/,
    'cache-control': 'public, max-age=300',
    etag: /^"[\w-]+"$/,
  })
  const { keys } = first.json()
  t.equal(keys.length, 1)
  t.same(Object.keys(keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])

  const etag = String(first.headers.etag)
  for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await issuer.call({ url, headers: { 'if-none-match': tag } })
    t.equal(again.statusCode, 304, tag)
    t.equal(again.body, '')
    t.equal(again.headers.etag, etag)
  }
  t.equal((await issuer.call({ url, headers: { 'if-none-match': '"other"' } })).statusCode, 200)
  const head = await issuer.call({ method: 'HEAD', url })
  t.equal(head.statusCode, 200)
  t.equal(head.headers.etag, etag)
})

t.test(
  'the JWKS answers conditional requests, HEAD and any query, and refuses other methods',
  async (t) => {
    const issuer = await startIssuer(t)
    const { url: address } = await issuer.listen()
    const url = '/.well-known/jwks.json'
    const route = await issuer.call({ url })
    const plain = await fetch(`${address}${url}`)
    t.equal(await plain.text(), route.body)
    for (const name of ['etag', 'cache-control', 'x-content-type-options', 'content-length']) {
      t.equal(plain.headers.get(name), String(route.headers[name]), name)
    }
    t.match(plain.headers.get('content-type'), 'application/jwk-set+json')
    const conditional = { 'if-none-match': String(route.headers.etag) }
    t.equal((await fetch(`${address}${url}`, { headers: conditional })).status, 304)
    t.equal((await fetch(`${address}${url}`, { method: 'HEAD' })).status, 200)
    const known = await fetch(`${address}${url}`, { method: 'HEAD', headers: conditional })
    t.equal(known.status, 304)
    t.equal(known.headers.get('content-length'), null, 'the length of no representation')
    t.equal((await fetch(`${address}${url}`, { method: 'DELETE' })).status, 405)
    t.equal((await fetch(`${address}${url}?x=1`)).status, 200)
  },
)

t.test('a key rotation shows in the JWKS immediately', async (t) => {
  const issuer = await startIssuer(t)
  const url = '/.well-known/jwks.json'
  const before = await issuer.call({ url })
  await issuer.keys.rotate()
  const after = await issuer.call({
    url,
    headers: { 'if-none-match': String(before.headers.etag) },
  })
  t.equal(after.statusCode, 200)
  t.equal(after.json().keys.length, 2)
})

t.test('A27: the metadata does not depend on the Host header', async (t) => {
  const issuer = await startIssuer(t)
  const response = await issuer.call({
    url: '/.well-known/oauth-authorization-server',
    headers: { host: 'evil.example', 'x-forwarded-host': 'evil.example' },
  })
  t.match(response.headers, { 'content-type': /^application\/json/ })
  t.match(response.json(), {
    issuer: issuerUrl,
    jwks_uri: `${issuerUrl}/.well-known/jwks.json`,
    response_types_supported: ['code'],
    token_endpoint: `${issuerUrl}/oauth/token`,
    introspection_endpoint: `${issuerUrl}/oauth/introspect`,
    revocation_endpoint: `${issuerUrl}/oauth/revoke`,
    grant_types_supported: [
      'authorization_code',
      'client_credentials',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:token-exchange',
    ],
    scopes_supported: ['data:read', 'data:write', 'openid', 'profile'],
  })
  t.notMatch(response.body, /evil/)
  const other = await issuer.call({ url: '/.well-known/openid-configuration' })
  t.same(other.json(), response.json())
})

t.test('the metadata of an issuer with a path is below the path', async (t) => {
  for (const path of ['/auth', '/caf%C3%A9/a%20b', '/t:1']) {
    const url = `${issuerUrl}${path}`
    const issuer = await startIssuer(t, { url })
    const known = '/.well-known/oauth-authorization-server'
    const response = await issuer.call({ url: known + path })
    t.match(response.json(), { issuer: url })
    t.equal((await issuer.call({ url: `${known}/t2` })).statusCode, 404)
    const { paths, servers } = (await issuer.call({ url: '/openapi.json' })).json()
    t.ok(paths['/.well-known/openid-configuration'])
    t.same(servers, [{ url }], 'its path comes before the paths of the document')
  }
})

t.test('the OpenAPI document describes every route', async (t) => {
  const issuer = await startIssuer(t)
  const document = (await issuer.call({ url: '/openapi.json' })).json()
  t.equal(document.openapi, '3.1.0')
  t.same(Object.keys(document.paths).sort(), [
    '/.well-known/jwks.json',
    '/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration',
    '/consents',
    '/consents/{client_id}',
    '/login',
    '/logout',
    '/logout/all',
    '/me',
    '/oauth/authorize',
    '/oauth/introspect',
    '/oauth/logout',
    '/oauth/par',
    '/oauth/revoke',
    '/oauth/token',
    '/oauth/userinfo',
    '/openapi.json',
    '/refresh',
    '/revocations',
    '/revocations/stream',
    '/sessions',
    '/sessions/{id}',
  ])
  const parametersOf = (path: string) =>
    document.paths[path].get.parameters.map(({ name }: { name: string }) => name)
  t.match(parametersOf('/oauth/authorize').slice(0, 4), [
    'client_id',
    'request_uri',
    'response_type',
    'redirect_uri',
  ])
  t.match(parametersOf('/oauth/logout'), ['id_token_hint', 'client_id'])
  const login = document.paths['/login'].post
  t.match(login.requestBody.content['application/json'].schema, {
    additionalProperties: false,
    required: ['username', 'password'],
  })
  t.match(login.responses, {
    200: { description: /^The token response/ },
    default: { description: /^An error/ },
  })
  t.notMatch(JSON.stringify(document), 'Default Response')
  const { TokenRequestInput, PushedAuthorizationRequestInput } = document.components.schemas
  t.same(TokenRequestInput.required, ['grant_type'])
  t.equal(PushedAuthorizationRequestInput.required.length, 4)
  t.same(Object.keys(document.components.schemas).sort(), [
    'AuthorizationServerMetadata',
    'ConsentList',
    'Introspection',
    'JsonWebKeySet',
    'Me',
    'OAuthError',
    'OAuthTokenResponse',
    'Problem',
    'PushedAuthorizationRequestInput',
    'PushedAuthorizationResponse',
    'SessionList',
    'TokenRequestInput',
    'TokenResponse',
    'UserInfo',
  ])
  t.notOk(document.paths['/logout'].post.responses['204'].content)
  const typesOf = (response: { content: object }) => Object.keys(response.content)
  for (const [url, type] of [
    ['/.well-known/jwks.json', 'application/jwk-set+json'],
    ['/revocations', 'application/jwt'],
    ['/revocations/stream', 'text/event-stream'],
    ['/me', 'application/json'],
  ] as const) {
    const { responses } = document.paths[url].get
    t.same(typesOf(responses['200']), [type])
    t.same(typesOf(responses.default), ['application/problem+json'])
  }
  for (const url of ['/oauth/authorize', '/oauth/logout']) {
    const { responses } = document.paths[url].get
    t.same(Object.keys(responses), ['200', '303', 'default'])
    for (const name of ['200', 'default']) t.same(typesOf(responses[name]), ['text/html'])
  }
  const isBodyRequired = (url: string) => document.paths[url].post.requestBody.required
  t.same(['/login', '/refresh', '/logout'].map(isBodyRequired), [true, false, false])
  t.match(document.paths['/refresh'].post.parameters, [{ name: 'idempotency-key', in: 'header' }])
})
