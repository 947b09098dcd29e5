import { createHash } from 'node:crypto'
import * as jose from 'jose'
import t from 'tap'
import { signJwt } from '../../src/tokens/signing.ts'
import { audience, bearer, claimsOf, issuerUrl, password } from '../support/issuer.ts'
import { billing, clients, redirectUri, startOAuth } from '../support/oauth.ts'
import {
  codeVerifier,
  goodRequest,
  redemption,
  signInThrough,
  Visitor,
} from '../support/visitor.ts'

const goodbye = 'https://app.example.com/goodbye'
const all = clients.map((client) =>
  client.client_id === 'spa' ? { ...client, post_logout_redirect_uris: [goodbye] } : client,
) as unknown as typeof clients

for (const [algorithm, hash] of [
  ['ES256', 'sha256'],
  ['Ed25519', 'sha512'],
  ['RS256', 'sha256'],
] as const) {
  t.test(
    `an ID token signed with ${algorithm} names the user, the session and the access token`,
    async (t) => {
      const issuer = await startOAuth(t, { algorithm, clients: all })
      const { id_token = '', access_token = '' } = await signInThrough(
        issuer,
        new Visitor(issuer),
        {
          nonce: 'the nonce',
        },
      )
      const jwks = (await issuer.call({ url: '/.well-known/jwks.json' })).json()
      const { payload, protectedHeader } = await jose.jwtVerify(
        id_token,
        jose.createLocalJWKSet(jwks),
        {
          issuer: issuerUrl,
          audience: 'spa',
          currentDate: new Date(issuer.clock.nowMs()),
        },
      )
      t.match(protectedHeader, { alg: algorithm, typ: 'JWT' })
      const access = claimsOf(access_token)
      const digest = createHash(hash).update(access_token).digest()
      t.match(payload, {
        sub: access.sub,
        sid: access.sid,
        auth_time: access.auth_time,
        amr: ['pwd'],
        acr: '1',
        nonce: 'the nonce',
        at_hash: digest.subarray(0, digest.length / 2).toString('base64url'),
      })
      // It is no access token.
      const refused = await issuer.call({ url: '/me', headers: bearer(id_token) })
      t.match(
        { status: refused.statusCode, ...refused.json() },
        { status: 401, code: 'token_type' },
      )
    },
  )
}

t.test('A20: an ID token is no access token where both have the typ JWT', async (t) => {
  const issuer = await startOAuth(t, { tokenType: 'JWT', clients: all })
  const visitor = new Visitor(issuer)
  const { id_token = '', access_token = '' } = await signInThrough(issuer, visitor)
  const ask = (token: string) => issuer.call({ url: '/me', headers: bearer(token) })
  t.equal((await ask(access_token)).statusCode, 200)
  t.match((await ask(id_token)).json(), { status: 401, code: 'token_claims' })
  t.same((await issuer.introspect({ token: id_token }, billing)).body, { active: false })

  t.comment('an access token is no ID token either: with one, a sign-out asks the user')
  const signOut = (id_token_hint: string) =>
    visitor.get(`/oauth/logout?${new URLSearchParams({ id_token_hint })}`)
  t.match((await signOut(access_token)).html, 'Do you want to sign out?')
  const sign = (changes: object, typ = 'JWT') =>
    signJwt({ ...claimsOf(id_token), ...changes }, typ, issuer.keys.signingKey())
  for (const token of [
    sign({ client_id: 'spa' }),
    sign({ auth_time: undefined }),
    sign({ iss: 'https://auth.example.org' }),
    sign({}, 'at+jwt'),
  ]) {
    t.match((await signOut(await token)).html, 'Do you want to sign out?')
  }
  t.match((await signOut(await sign({}))).html, 'You are signed out')
})

t.test('no secret reaches the log or a metric', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize({ scope: 'openid', nonce: 'a-nonce', state: 'a-state' })
  await visitor.signIn(page, { password: 'a wrong password' })
  const tokens = await signInThrough(issuer, visitor)
  const query = new URLSearchParams({ id_token_hint: tokens.id_token ?? '' })
  const { answer } = await visitor.authorize()
  const cookies = [...visitor.cookies.values()]
  await visitor.get(`/oauth/logout?${query}`)
  const written = `${JSON.stringify(issuer.lines)}${await issuer.metrics.registry.metrics()}`
  const { id_token, access_token, refresh_token } = tokens
  const interaction = page.form?.fields.interaction
  for (const secret of [
    ...[password, 'a wrong password', 'a-nonce', 'a-state', interaction, answer?.code],
    ...[id_token, access_token, refresh_token, codeVerifier, ...cookies],
  ]) {
    if (secret === undefined || secret.length < 6) throw new Error('it is not there')
    t.notOk(written.includes(secret))
  }
  t.ok(issuer.lines.length > 3)
})

t.test('userinfo has the claims of the scopes, and requires openid', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const tokens = await signInThrough(issuer, visitor)
  const ask = (token = '', method: 'GET' | 'POST' = 'GET') =>
    issuer.call({ method, url: '/oauth/userinfo', headers: bearer(token) })
  const { sub } = claimsOf(tokens.access_token ?? '')
  t.same((await ask(tokens.access_token)).json(), { sub, name: 'Ada' })
  t.same((await ask(tokens.access_token, 'POST')).json(), { sub, name: 'Ada' })
  for (const [username, name] of [
    ['bob', null],
    ['carol', ''],
  ] as const) {
    await issuer.users.add({ loginName: username, password, attributes: { name } })
    const other = new Visitor(issuer)
    const page = await other.authorize({ scope: 'openid profile' })
    const { answer } = await other.signIn(page, { username })
    const { body } = await issuer.token({ ...redemption, code: answer?.code ?? '' })
    const known = (await ask(body.access_token)).json()
    t.same(Object.keys(known), ['sub'], 'no claim without a value')
  }
  const without = await signInThrough(issuer, visitor, { scope: 'data:read' })
  t.equal(without.id_token, undefined)
  const refused = await ask(without.access_token)
  t.equal(refused.statusCode, 403)
  t.match(refused.headers['www-authenticate'], /insufficient_scope.*scope="openid"/)
  await issuer.accounts.setDisabled(`${sub}`, true, issuer.clock.nowMs())
  t.equal((await ask(tokens.access_token)).statusCode, 401, 'the account is disabled')
  await issuer.accounts.setDisabled(`${sub}`, false, issuer.clock.nowMs())
  await issuer.revoke({ token: tokens.access_token ?? '', client_id: 'spa' })
  t.equal((await ask(tokens.access_token)).statusCode, 401)
})

t.test('discovery lists the endpoints and abilities of OpenID Connect', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const metadata = (await issuer.call({ url: '/.well-known/openid-configuration' })).json()
  t.match(metadata, {
    issuer: issuerUrl,
    authorization_endpoint: `${issuerUrl}/oauth/authorize`,
    pushed_authorization_request_endpoint: `${issuerUrl}/oauth/par`,
    userinfo_endpoint: `${issuerUrl}/oauth/userinfo`,
    end_session_endpoint: `${issuerUrl}/oauth/logout`,
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    authorization_response_iss_parameter_supported: true,
    ui_locales_supported: ['en', 'de'],
    request_parameter_supported: false,
  })
  t.same(metadata.acr_values_supported, ['1'], 'a password is one factor')
  t.ok(metadata.scopes_supported.includes('openid'))
  t.same(metadata.claims_supported.slice(0, 2), ['iss', 'sub'])
  t.same(metadata.claims_supported.slice(-2), ['name', 'roles'], 'the attributes of the scopes')
  const same = await issuer.call({ url: '/.well-known/oauth-authorization-server' })
  t.same(same.json(), metadata)
})

t.test('a sign-out by an application ends the sign-in and all sessions it opened', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const tokens = await signInThrough(issuer, visitor)
  const others = await signInThrough(issuer, visitor, { client_id: 'backend' })
  const elsewhere = new Visitor(issuer)
  issuer.clock.advance_s(1)
  const kept = await signInThrough(issuer, elsewhere)
  const query = new URLSearchParams({
    id_token_hint: tokens.id_token ?? '',
    post_logout_redirect_uri: goodbye,
    state: 'bye',
  })
  issuer.clock.advance_s(400)
  const done = await visitor.get(`/oauth/logout?${query}`)
  t.equal(done.status, 303)
  t.same(done.answer, { url: goodbye, state: 'bye' })
  t.equal((await visitor.authorize()).status, 200)
  for (const { refresh_token } of [tokens, others]) {
    t.equal((await issuer.refresh(refresh_token ?? '')).statusCode, 401)
  }
  t.equal((await issuer.refresh(kept.refresh_token ?? '')).statusCode, 200, 'another device')
})

t.test('a sign-out also ends the sessions from before the user signed in again', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  await issuer.users.add({ loginName: 'bob', password })
  const visitor = new Visitor(issuer)
  const opened = [await signInThrough(issuer, visitor)]
  for (const changes of [{ prompt: 'login' }, { client_id: 'backend', max_age: '10' }]) {
    issuer.clock.advance_s(100)
    opened.push(await signInThrough(issuer, visitor, changes))
  }
  issuer.clock.advance_s(1)
  const elsewhere = new Visitor(issuer)
  const kept = await signInThrough(issuer, elsewhere)
  await visitor.submit(await visitor.get('/oauth/logout'), { decision: 'sign_out' })
  for (const { refresh_token } of opened) {
    t.equal((await issuer.refresh(refresh_token ?? '')).json().code, 'refresh_token_revoked')
  }
  const me = () => issuer.call({ url: '/me', headers: bearer(kept.access_token ?? '') })
  t.equal((await me()).statusCode, 200, 'another device')

  t.comment('another user who signs in instead ends nothing of the first')
  const page = await elsewhere.authorize({ prompt: 'login' })
  await elsewhere.signIn(page, { username: 'bob' })
  await elsewhere.submit(await elsewhere.get('/oauth/logout'), { decision: 'sign_out' })
  t.equal((await me()).statusCode, 200)
})

t.test('the form of a sign-in may be sent twice, and a sign-out still ends all', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const { refresh_token = '' } = await signInThrough(issuer, visitor)
  issuer.clock.advance_s(1)
  const page = await visitor.authorize({ prompt: 'login' })
  const cookies = new Map(visitor.cookies)
  await visitor.signIn(page)
  t.comment('a double click: the same cookies again, and the browser drops the first answer')
  for (const [name, value] of cookies) visitor.cookies.set(name, value)
  await visitor.signIn(page)
  await visitor.submit(await visitor.get('/oauth/logout'), { decision: 'sign_out' })
  t.equal((await issuer.refresh(refresh_token)).json().code, 'refresh_token_revoked')
})

t.test('the form of an application on another site signs the user out as well', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const tokens = await signInThrough(issuer, visitor)
  const others = await signInThrough(issuer, visitor, { client_id: 'backend' })
  const fields = { id_token_hint: tokens.id_token ?? '', post_logout_redirect_uri: goodbye }
  const cookies = new Map(visitor.cookies)
  t.comment('browsers send no cookies with it')
  visitor.cookies.clear()
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://app.example.com' }
  const sent = await visitor.post('/oauth/logout', fields, headers)
  t.equal(sent.status, 303)
  t.equal(sent.headers['set-cookie'], undefined)
  for (const [name, value] of cookies) visitor.cookies.set(name, value)
  const done = await visitor.get(String(sent.headers.location))
  t.match({ status: done.status, answer: done.answer }, { status: 303, answer: { url: goodbye } })
  t.equal((await visitor.authorize()).answer, null)
  for (const { refresh_token } of [tokens, others]) {
    t.equal((await issuer.refresh(refresh_token ?? '')).statusCode, 401)
  }
})

t.test('without an ID token of the user, a sign-out asks the user', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  await issuer.users.add({ loginName: 'bob', password })
  const visitor = new Visitor(issuer)
  await signInThrough(issuer, visitor)
  const bob = new Visitor(issuer)
  const ofBob = await bob.signIn(await bob.authorize({ scope: 'openid' }), { username: 'bob' })
  const { body } = await issuer.token({ ...redemption, code: ofBob.answer?.code ?? '' })
  for (const id_token_hint of ['', 'x.y.z', body.id_token, `${body.id_token}x`]) {
    const query = new URLSearchParams({
      id_token_hint,
      client_id: 'spa',
      post_logout_redirect_uri: goodbye,
    })
    const page = await visitor.get(`/oauth/logout?${query}`)
    t.equal(page.status, 200)
    t.match(page.html, 'Do you want to sign out?')
  }
  t.match((await visitor.authorize()).answer, { code: /./ }, 'still signed in')
  const page = await visitor.get('/oauth/logout?ui_locales=de&state=x')
  const forged = await visitor.submit(page, {}, { 'sec-fetch-site': 'cross-site', origin: 'null' })
  t.equal(forged.status, 403)
  const { headers, status } = await visitor.submit(page, { decision: 'sign_out' })
  t.match({ status, ...headers }, { status: 303, location: '/oauth/logout?ui_locales=de' })
  const done = await visitor.get(String(headers.location))
  t.match(done.html, 'Sie sind abgemeldet', 'the answer to a GET, so a reload sends no form')
  t.equal((await visitor.authorize()).answer, null)
  t.match((await visitor.get('/oauth/logout')).html, 'You are signed out', 'twice is no error')
})

t.test('a sign-out redirects to a registered address only', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const { id_token = '', access_token = '' } = await signInThrough(issuer, visitor)
  for (const changes of [
    { post_logout_redirect_uri: 'https://evil.example' },
    { post_logout_redirect_uri: redirectUri },
    { post_logout_redirect_uri: goodbye, id_token_hint: '' },
    { post_logout_redirect_uri: goodbye, client_id: 'backend' },
    // An access token is no ID token.
    { post_logout_redirect_uri: goodbye, id_token_hint: access_token },
  ]) {
    const query = new URLSearchParams({ id_token_hint: id_token, ...changes })
    const page = await visitor.get(`/oauth/logout?${query}`)
    t.match({ status: page.status, answer: page.answer }, { status: 400, answer: null })
  }
  const twice = new URLSearchParams({ id_token_hint: id_token, post_logout_redirect_uri: goodbye })
  twice.append('post_logout_redirect_uri', 'https://evil.example')
  const page = await visitor.get(`/oauth/logout?${twice}`)
  t.match({ status: page.status, answer: page.answer }, { status: 400, answer: null })
  t.match((await visitor.authorize()).answer, { code: /./ })
})

t.test('a sign-in of another user than the id_token_hint is login_required', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  await issuer.users.add({ loginName: 'bob', password })
  const visitor = new Visitor(issuer)
  const { id_token = '' } = await signInThrough(issuer, visitor)
  const hinted = { id_token_hint: id_token, prompt: 'none' }
  t.match((await visitor.authorize(hinted)).answer, { code: /./ })
  await visitor.signIn(await visitor.authorize({ prompt: 'login' }), { username: 'bob' })
  t.match((await visitor.authorize(hinted)).answer, { error: 'login_required' })
  t.match((await visitor.authorize({ prompt: 'none' })).answer, { code: /./ })

  t.comment('the client learns that another user has signed in, or that its hint is not readable')
  const other = await visitor.authorize({ id_token_hint: id_token })
  t.match((await visitor.signIn(other, { username: 'bob' })).answer, { error: 'login_required' })
  const unreadable = await visitor.authorize({ id_token_hint: 'x.y.z' })
  t.match(unreadable.answer, { error: 'login_required' }, 'nobody types a password in vain')
  const page = await visitor.authorize({ id_token_hint: id_token })
  t.match((await visitor.signIn(page)).answer, { code: /./ })
})

t.test('a code works once, at two replicas at the same time too', async (t) => {
  const issuer = await startOAuth(t, { clients: all })
  const visitor = new Visitor(issuer)
  const { answer } = await visitor.signIn(await visitor.authorize({ resource: audience }))
  const redeem = (changes = {}) =>
    issuer.token({ ...redemption, code: answer?.code ?? '', ...changes })
  const answers = await Promise.all([redeem(), redeem()])
  t.same(answers.map(({ status }) => status).filter((status) => status === 400).length > 0, true)
  for (const { body } of answers) {
    if (body.access_token === undefined) continue
    t.equal((await issuer.call({ url: '/me', headers: bearer(body.access_token) })).statusCode, 401)
  }
  const signedIn = issuer.audit().filter(({ event }) => event === 'login.ok')
  const answered = answers.flatMap(({ body }) => body.session_id ?? [])
  t.same(signedIn.map(({ sid }) => sid).slice(1), answered, 'a refused request signs nobody in')
  // Stolen codes: of another client, another address, without the verifier.
  for (const changes of [
    { client_id: 'web' },
    { redirect_uri: `${redirectUri}?x` },
    { code_verifier: goodRequest.code_challenge ?? '' },
  ]) {
    const next = await visitor.authorize()
    const stolen = { ...changes, code: next.answer?.code ?? '' }
    t.equal((await redeem(stolen)).status, 400)
  }
})

t.test('pages of any site call the token endpoint, without cookies', async (t) => {
  const issuer = await startOAuth(t, { clients: all, allowedOrigins: ['https://app.example.com'] })
  const origin = 'https://other.example'
  for (const url of ['/oauth/token', '/oauth/userinfo', '/.well-known/openid-configuration']) {
    const preflight = await issuer.call({
      method: 'OPTIONS',
      url,
      headers: { origin, 'access-control-request-method': 'POST' },
    })
    t.equal(preflight.statusCode, 204)
    t.match(preflight.headers, {
      'access-control-allow-origin': '*',
      // Swagger UI sends X-Requested-With to the token endpoint.
      'access-control-allow-headers': /dpop.*x-requested-with/,
    })
    t.notOk(preflight.headers['access-control-allow-credentials'])
    const { headers } = await issuer.call({ url, headers: { origin } })
    t.equal(headers['access-control-allow-origin'], '*')
  }
  for (const url of ['/oauth/authorize', '/oauth/introspect', '/sessions']) {
    const { headers } = await issuer.call({ url, headers: { origin } })
    t.equal(headers['access-control-allow-origin'], undefined, url)
  }
})
