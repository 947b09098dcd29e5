import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import type { Client } from '../../src/issuer/clients.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { audience, bearer, claimsOf, issuerUrl, password } from '../support/issuer.ts'
import { backend, basic, billing, first, reports, second, startOAuth } from '../support/oauth.ts'
import { signInThrough, Visitor } from '../support/visitor.ts'

const credentials = { grant_type: 'client_credentials' }

t.test('client_credentials is a token without a user, a refresh token or a session', async (t) => {
  const issuer = await startOAuth(t)
  const { status, body, headers } = await issuer.token(credentials, billing)
  t.equal(status, 200)
  t.match(body, { token_type: 'Bearer', expires_in: 300, scope: 'data:read' })
  t.same(Object.keys(body).sort(), ['access_token', 'expires_in', 'scope', 'token_type'])
  t.equal(headers['cache-control'], 'no-store')
  t.equal(headers.pragma, 'no-cache')
  const claims = claimsOf(body.access_token)
  t.match(claims, {
    iss: issuerUrl,
    sub: 'billing',
    client_id: 'billing',
    aud: [audience, reports],
    scope: 'data:read',
  })
  t.same(
    ['sid', 'auth_time', 'acr', 'amr', 'act', 'name'].filter((name) => name in claims),
    [],
  )
  t.same(await issuer.sessions.listBySub('billing', issuer.clock.nowMs()), [])
  t.match(issuer.audit().at(-1), { event: 'token.issued', client_id: 'billing' })
})

t.test('a service may narrow its scope and audience, not widen them', async (t) => {
  const { token } = await startOAuth(t)
  const narrow = { ...credentials, scope: 'data:write', resource: reports }
  t.match(claimsOf((await token(narrow, billing)).body.access_token), {
    scope: 'data:write',
    aud: reports,
  })
  for (const scope of ['orders:refund', ' ', '  ']) {
    t.match(await token({ ...credentials, scope }, billing), {
      status: 400,
      body: { error: 'invalid_scope' },
    })
  }
  t.match(await token({ ...credentials, resource: 'https://other.example' }, billing), {
    status: 400,
    body: { error: 'invalid_target' },
  })
})

t.test('each way to authenticate is the only one of its client', async (t) => {
  const { token } = await startOAuth(t)
  const post = { client_id: 'rotating', client_secret: second.secret }
  t.equal((await token({ ...credentials, ...post })).status, 200)
  t.equal((await token({ ...credentials, ...post, client_secret: first.secret })).status, 200)
  for (const [fields, headers] of [
    [{ ...credentials }, basic('rotating', second.secret)],
    [{ ...credentials, client_id: 'billing', client_secret: first.secret }, {}],
    [{ ...credentials, client_id: 'billing' }, {}],
    [{ ...credentials, client_id: 'web' }, basic('billing', first.secret)],
    [{ ...credentials }, { authorization: 'Bearer x' }],
    [{ ...credentials }, { authorization: 'Basic ???' }],
    [{ ...credentials }, basic('billing', '')],
    [{ ...credentials, client_id: 'web' }, basic('spa', '')],
    [{ ...credentials }, {}],
  ] as const) {
    const { status, body, headers: answered } = await token(fields, headers)
    t.match({ status, body }, { status: 401, body: { error: 'invalid_client' } })
    t.match(answered['www-authenticate'], /^Basic realm=/)
  }
  t.match(await token({ ...credentials, client_secret: first.secret }, billing), {
    status: 400,
    body: { error: 'invalid_request' },
  })
})

t.test('a client may use its configured grants only', async (t) => {
  const { token, login } = await startOAuth(t)
  for (const grant_type of ['client_credentials', 'authorization_code']) {
    t.match(await token({ grant_type, client_id: 'web', code: 'x', code_verifier: 'y' }), {
      status: 400,
      body: { error: 'unauthorized_client' },
    })
  }
  for (const grant_type of ['password', 'implicit', '__proto__']) {
    t.match(await token({ grant_type, client_id: 'web' }), {
      status: 400,
      body: { error: 'unsupported_grant_type' },
    })
  }
  t.match((await login({ client_id: 'spa' })).json(), { code: 'grant_not_allowed' })
})

t.test('a public client may send Basic with an empty secret (RFC 6749 §2.3.1)', async (t) => {
  const issuer = await startOAuth(t)
  const { refresh_token = '' } = await signInThrough(issuer, new Visitor(issuer))
  const headers = basic('spa', '')
  t.match(await issuer.token({ grant_type: 'refresh_token', refresh_token }, headers), {
    status: 200,
    body: { refresh_token: /^gpr_/ },
  })
  t.match(await issuer.introspect({ token: refresh_token }, headers), { status: 401 })
})

t.test('a refresh at /oauth/token follows the rules of /refresh', async (t) => {
  const { token, signIn, refresh, clock } = await startOAuth(t)
  const grant = { grant_type: 'refresh_token', client_id: 'web' }
  const { refresh_token, session_id } = await signIn()
  clock.advanceMs(60_000)
  const key = { 'idempotency-key': 'one' }
  const rotated = await token({ ...grant, refresh_token }, key)
  t.match(rotated, { status: 200, body: { session_id, token_type: 'Bearer', scope: 'data:read' } })
  t.not(rotated.body.refresh_token, refresh_token)
  t.ok(rotated.body.refresh_token_expires_in > 0)

  t.comment('an unusable header is named')
  const unusable = await token({ ...grant, refresh_token }, { 'idempotency-key': 'k'.repeat(256) })
  t.match(unusable, {
    status: 400,
    body: { error: 'invalid_request', error_description: '/headers/idempotency-key: Too big' },
  })

  t.comment('a lost answer is asked for again, however late, at either address')
  clock.advanceMs(600_000)
  t.match(await token({ ...grant, refresh_token }, key), {
    status: 200,
    body: { refresh_token: rotated.body.refresh_token },
  })
  t.match((await refresh(refresh_token, key)).json(), {
    refresh_token: rotated.body.refresh_token,
  })

  t.comment('reuse ends the session')
  clock.advanceMs(600_000)
  const next = await token({ ...grant, refresh_token: rotated.body.refresh_token })
  t.equal(next.status, 200)
  clock.advanceMs(60_000)
  t.match(await token({ ...grant, refresh_token }), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  t.match(await token({ ...grant, refresh_token: next.body.refresh_token }), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
})

t.test('the refresh token of a confidential client needs its authentication', async (t) => {
  const { token, call, clock, audit } = await startOAuth(t)
  const body = {
    username: 'ada',
    password: 'correct horse battery staple',
    client_id: 'backend',
    refresh_token_in: 'body',
  }
  const signIn = (headers = {}) => call({ method: 'POST', url: '/login', body, headers })
  t.match((await signIn()).json(), { code: 'client_authentication_failed', status: 401 })
  t.match((await signIn(basic('backend', first.secret))).json(), { status: 401 })
  const { refresh_token } = (await signIn(backend)).json()
  clock.advanceMs(60_000)

  t.comment('who has stolen it has nothing')
  const stolen = await call({ method: 'POST', url: '/refresh', body: { refresh_token } })
  t.match(stolen.json(), { code: 'client_authentication_failed' })
  const grant = { grant_type: 'refresh_token', refresh_token }
  t.match(await token({ ...grant, client_id: 'backend' }), { status: 401 })
  t.match(await token({ ...grant, client_id: 'web' }), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  t.match(audit().at(-1), { event: 'refresh.refused', reason: 'wrong_client' })
  t.comment('and has changed nothing')
  t.equal((await token(grant, backend)).status, 200)
})

t.test('a client that sends its secret in forms sends it to /login in Authorization', async (t) => {
  const client: Client = {
    client_id: 'post',
    scopes: {},
    grants: ['password', 'refresh_token'],
    auth_method: 'client_secret_post',
    secret_hashes: [first.hash],
  }
  const { token, call } = await startOAuth(t, { clients: [client] })
  const body = { username: 'ada', password, refresh_token_in: 'body' }
  const signIn = (headers = {}) => call({ method: 'POST', url: '/login', body, headers })
  t.match((await signIn()).json(), { code: 'client_authentication_failed', status: 401 })
  t.match((await signIn(basic('post', second.secret))).json(), { status: 401 })
  const { refresh_token } = (await signIn(basic('post', first.secret))).json()
  const grant = { grant_type: 'refresh_token', refresh_token, client_id: 'post' }
  t.equal((await token({ ...grant, client_secret: first.secret })).status, 200)
  t.equal((await token(grant, basic('post', first.secret))).status, 401, 'one method in OAuth')
})

t.test('RFC 9449 §5: a client that authenticates may replace its key', async (t) => {
  const { token, call, clock } = await startOAuth(t)
  const prove = async (path: string, key: Awaited<ReturnType<typeof makeProofKey>>) => {
    const iat = Math.floor(clock.nowMs() / 1000)
    return { dpop: await makeProof(key, { htm: 'POST', htu: `${issuerUrl}${path}`, iat }) }
  }
  const [old, next] = [await makeProofKey(), await makeProofKey()]
  const body = { username: 'ada', password, client_id: 'backend', refresh_token_in: 'body' }
  const headers = { ...backend, ...(await prove('/login', old)) }
  const signedIn = (await call({ method: 'POST', url: '/login', body, headers })).json()
  t.same(claimsOf(signedIn.access_token).cnf, { jkt: old.jkt })
  clock.advanceMs(60_000)
  const { refresh_token } = signedIn
  const grant = { grant_type: 'refresh_token', refresh_token }
  const refreshed = await token(grant, { ...backend, ...(await prove('/oauth/token', next)) })
  t.match(refreshed, { status: 200, body: { token_type: 'DPoP' } })
  t.same(claimsOf(refreshed.body.access_token).cnf, { jkt: next.jkt })
})

t.test('a refresh may ask for one audience, and again for another', async (t) => {
  const { token, issuer, clock, call, accounts } = await startOAuth(t)
  const account = await accounts.findByLoginName('ada')
  if (account === null) throw new Error('there is no account')
  const { tokens } = await issuer.starter.start(
    account,
    { clientId: 'spa', scope: 'data:read', amr: ['pwd'], userAgent: '', jkt: null },
    { audience },
    () => {},
  )
  clock.advanceMs(60_000)
  const grant = { grant_type: 'refresh_token', client_id: 'spa' }
  const one = await token({ ...grant, refresh_token: tokens.refreshToken, resource: reports })
  t.equal(claimsOf(one.body.access_token).aud, reports)

  clock.advanceMs(5_000)
  const other = await token({ ...grant, refresh_token: tokens.refreshToken, resource: audience })
  t.equal(claimsOf(other.body.access_token).aud, audience)
  t.equal(other.body.refresh_token, one.body.refresh_token, 'nothing was rotated')

  const { refresh_token } = other.body
  clock.advanceMs(60_000)
  t.match(await token({ ...grant, refresh_token, resource: 'https://other.example' }), {
    body: { error: 'invalid_target' },
  })
  const answer = await call({
    method: 'POST',
    url: '/refresh',
    body: { refresh_token, resource: reports },
  })
  t.equal(claimsOf(answer.json().access_token).aud, reports, '/refresh takes it too')
  t.not(answer.json().refresh_token, refresh_token, 'what was refused before has rotated nothing')
})

t.test('a login may ask for one audience of its client', async (t) => {
  const { signIn, login } = await startOAuth(t, {
    clients: [{ client_id: 'web', audience: [audience, reports], scopes: {} }],
  })
  const aud = async (body: object) => claimsOf((await signIn({ ...body })).access_token).aud
  t.same(await aud({}), [audience, reports])
  t.equal(await aud({ resource: reports }), reports)
  t.match((await login({ resource: 'x' })).json(), { code: 'resource_not_allowed', status: 400 })
})

t.test('a proof binds the token of a service, and is used once', async (t) => {
  const { token, clock } = await startOAuth(t)
  const key = await makeProofKey()
  const iat = Math.floor(clock.nowMs() / 1000)
  const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/oauth/token`, iat })
  const { body } = await token(credentials, { ...billing, dpop })
  t.equal(body.token_type, 'DPoP')
  t.same(claimsOf(body.access_token).cnf, { jkt: key.jkt })
  t.match(await token(credentials, { ...billing, dpop }), {
    status: 400,
    body: { error: 'invalid_dpop_proof' },
  })
  const elsewhere = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/login`, iat })
  t.match(await token(credentials, { ...billing, dpop: elsewhere }), {
    body: { error: 'invalid_dpop_proof' },
  })
})

t.test('malformed requests are refused in the form of RFC 6749', async (t) => {
  const { token, call, signIn, accounts } = await startOAuth(t)
  const secret = `client_secret=${first.secret}`
  for (const fields of [
    '',
    'grant_type=',
    'grant_type=client_credentials&grant_type=client_credentials',
    'grant_type=client_credentials&scope=data:read&scope=data:write',
    `grant_type=client_credentials&${'a=1&b=2&c=3&'.repeat(20)}`,
    Array.from({ length: 65 }, (_, at) => `p${at}=1`).join('&'),
  ]) {
    t.match(await token(fields, billing), { status: 400, body: { error: 'invalid_request' } })
  }
  t.match(await token('grant_type=client_credentials&resource=a&resource=b', billing), {
    status: 400,
    body: { error: 'invalid_target' },
  })
  t.match(await token(`grant_type=client_credentials&x=${'y'.repeat(20_000)}`, billing), {
    status: 413,
    body: { error: 'invalid_request' },
  })
  const url = `/oauth/token?client_id=rotating&${secret}`
  const inUrl = await call({ method: 'POST', url, payload: 'grant_type=client_credentials' })
  t.match(inUrl.json(), { error: 'invalid_request' })
  t.notMatch(inUrl.payload, first.secret)
  const unknown = await call({
    method: 'POST',
    url: '/oauth/token?client-request-id=1',
    headers: { ...billing, 'content-type': 'application/x-www-form-urlencoded' },
    payload: 'grant_type=client_credentials',
  })
  t.equal(unknown.statusCode, 200, 'RFC 6749 §3.2: an unknown parameter is ignored')
  const json = await call({ method: 'POST', url: '/oauth/token', body: credentials })
  t.match({ status: json.statusCode, ...json.json() }, { status: 415, error: 'invalid_request' })
  for (const name of ['token', 'par', 'revoke', 'introspect']) {
    const other = await call({ url: `/oauth/${name}` })
    t.match(other, { statusCode: 405, headers: { allow: 'POST', 'cache-control': 'no-store' } })
    t.match(other.json(), { error: 'invalid_request', error_description: /method/ })
  }
  const more = (count: number) => Array.from({ length: count }, (_, at) => `p${at}=`).join('&')
  t.equal((await token(`grant_type=client_credentials&${more(63)}`, billing)).status, 200)
  t.equal((await token(`grant_type=client_credentials&${more(64)}`, billing)).status, 400)

  t.comment('the details of an internal error are for the log only')
  const { refresh_token } = await signIn()
  const detail = 'the innards: table accounts'
  for (const [error, answer] of [
    [
      new Error(detail),
      { error: 'server_error', error_description: 'An internal error occurred.' },
    ],
    [
      new GatepassError('store_unavailable', { detail }),
      {
        error: 'temporarily_unavailable',
        error_description: 'A store is not responding. Try again.',
      },
    ],
  ] as const) {
    accounts.findBySub = () => Promise.reject(error)
    const failed = await token({ grant_type: 'refresh_token', client_id: 'web', refresh_token })
    t.same(failed.body, answer)
    t.equal(failed.status, answer.error === 'server_error' ? 500 : 503)
  }
})

t.test('tokens may have typ JWT; a verifier accepts them only if configured to', async (t) => {
  const { token, introspect, signIn, call, keys } = await startOAuth(t, { tokenType: 'JWT' })
  const { access_token } = await signIn()
  const [header = ''] = access_token.split('.')
  t.equal(JSON.parse(Buffer.from(header, 'base64url').toString()).typ, 'JWT')
  t.equal((await call({ url: '/me', headers: bearer(access_token) })).statusCode, 200)
  t.match((await introspect({ token: access_token }, billing)).body, { active: true })
  const { body } = await token(credentials, billing)
  t.match((await introspect({ token: body.access_token }, billing)).body, { active: true })

  const jwks = JSON.parse(keys.jwks().body)
  const clock = { nowMs: () => Date.UTC(2026, 0, 1) }
  const options = { issuer: issuerUrl, audience: null, jwks, clock }
  await t.rejects(createVerifier(options).verify(access_token), { code: 'token_type' })
  const told = createVerifier({ ...options, tokenTypes: ['at+jwt', 'JWT'] })
  await t.resolves(told.verify(access_token))
})

t.test('a refresh may narrow the scope of one access token, and widen none', async (t) => {
  const { token, signIn, clock } = await startOAuth(t)
  const { refresh_token } = await signIn({ scope: 'data:read data:write' })
  const grant = { grant_type: 'refresh_token', client_id: 'web' }
  clock.advanceMs(60_000)
  const wider = await token({ ...grant, refresh_token, scope: 'data:read profile' })
  t.match(wider, { status: 400, body: { error: 'invalid_scope' } })
  const narrow = await token({ ...grant, refresh_token, scope: 'data:read' })
  t.equal(narrow.body.scope, 'data:read')
  t.equal(claimsOf(narrow.body.access_token).scope, 'data:read')
  clock.advanceMs(60_000)
  const repeated = await token({
    ...grant,
    refresh_token: narrow.body.refresh_token,
    scope: 'data:read '.repeat(1200),
  })
  t.match(repeated, { status: 200, body: { scope: 'data:read' } }, 'each scope counts once')
  clock.advanceMs(60_000)
  const next = await token({ ...grant, refresh_token: repeated.body.refresh_token })
  t.equal(next.body.scope, 'data:read data:write')
})

t.test('a token request without a body lacks its grant type', async (t) => {
  const { call } = await startOAuth(t)
  const response = await call({ method: 'POST', url: '/oauth/token', headers: billing })
  t.equal(response.statusCode, 400)
  t.match(response.json(), { error: 'invalid_request', error_description: /grant_type/ })
})
