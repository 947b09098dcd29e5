import { randomUUID } from 'node:crypto'
import t from 'tap'
import { audience, claimsOf, issuerUrl, password } from '../support/issuer.ts'
import {
  accessTokenUrn,
  backend,
  basic,
  billing,
  clients,
  exchangeGrant,
  second,
  startOAuth,
} from '../support/oauth.ts'
import {
  codeVerifier,
  goodRequest,
  redemption,
  signInThrough,
  Visitor,
} from '../support/visitor.ts'

t.test('pushed requests of public clients are limited per network', async (t) => {
  const issuer = await startOAuth(t, { logLevel: 'info' })
  const push = async (headers = {}, client_id = 'spa') =>
    (await issuer.post('/oauth/par')({ ...goodRequest, client_id }, headers)).status
  t.comment('a request that is refused is not kept, so it does not count')
  for (let round = 0; round < 11; round += 1) {
    const refused = { ...goodRequest, response_type: 'token' }
    await Promise.all(Array.from({ length: 100 }, () => issuer.post('/oauth/par')(refused)))
  }
  const statuses: Record<number, number> = {}
  for (let round = 0; round < 15; round += 1) {
    for (const status of await Promise.all(Array.from({ length: 100 }, () => push()))) {
      statuses[status] = (statuses[status] ?? 0) + 1
    }
  }
  t.same(statuses, { 201: 1_000, 503: 500 })
  const refused = await issuer.post('/oauth/par')(goodRequest)
  t.match(refused, { headers: { 'retry-after': '90' }, body: { error: 'temporarily_unavailable' } })
  t.equal(await push(backend, 'backend'), 201, 'a client with a secret')
  const visitor = new Visitor(issuer)
  t.match((await visitor.signIn(await visitor.authorize())).answer, { code: /^gpc_/ })
})

const third = { ...clients[5], client_id: 'prints', third_party: true }
const withPrints = { clients: [...clients, third] as unknown as typeof clients }

t.test('cross-site requests: no other site gives consent or signs a user out', async (t) => {
  const issuer = await startOAuth(t, withPrints)
  const visitor = new Visitor(issuer)
  const ask = () => visitor.authorize({ client_id: 'prints', scope: 'profile' })
  const consent = await visitor.signIn(await ask())
  const signOut = await visitor.get('/oauth/logout')
  const stranger = new Visitor(issuer)
  const theirs = await stranger.signIn(await stranger.authorize({ client_id: 'prints' }))
  const allow = { decision: 'allow' }
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'https://blog.example.com' },
    { 'sec-fetch-site': 'cross-site', origin: 'null' },
  ]) {
    t.equal((await visitor.submit(consent, allow, headers)).status, 403)
    t.equal((await visitor.submit(signOut, {}, headers)).status, 403)
  }
  t.equal((await visitor.submit(theirs, allow)).status, 400, 'the form of another browser')
  t.equal((await ask()).answer, null, 'the user is still asked')
  t.match((await visitor.submit(consent, allow)).answer, { code: /^gpc_/ }, 'and still signed in')
})

t.test('another app on the device gets no code by the consent for the first', async (t) => {
  const https = 'https://prints.example/cb'
  const redirect_uris = [https, 'http://127.0.0.1/cb', 'com.example.prints:/cb']
  const secrets = { auth_method: 'client_secret_basic', secret_hashes: [second.hash] }
  const added = [
    { ...third, redirect_uris },
    { ...third, ...secrets, client_id: 'confidential', redirect_uris },
  ]
  const issuer = await startOAuth(t, {
    clients: [...clients, ...added] as unknown as typeof clients,
  })
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  for (const [client_id, redirect_uri, isAskedAgain] of [
    ['prints', https, false],
    ['prints', 'http://127.0.0.1:5000/cb', true],
    ['prints', 'com.example.prints:/cb', true],
    ['confidential', 'http://127.0.0.1:5000/cb', false],
  ] as const) {
    const ask = (prompt?: string) =>
      visitor.authorize({ client_id, redirect_uri, ...(prompt && { prompt }) })
    const { answer } = await visitor.submit(await ask('consent'), { decision: 'allow' })
    t.match(answer, { code: /^gpc_/ })
    const { body } = await issuer.token(
      { ...redemption, client_id, redirect_uri, code: answer?.code ?? '' },
      client_id === 'confidential' ? basic(client_id, second.secret) : {},
    )
    t.match(body, { access_token: /./ }, 'the consent counts for its code')
    const name = `${client_id} at ${redirect_uri}`
    t.equal((await ask()).answer === null, isAskedAgain, name)
    const expected = isAskedAgain ? { error: 'consent_required' } : { code: /^gpc_/ }
    t.match((await ask('none')).answer, expected, name)
  }
})

t.test('clickjacking: no page of the issuer can be framed', async (t) => {
  const issuer = await startOAuth(t, withPrints)
  const visitor = new Visitor(issuer)
  const signIn = await visitor.authorize({ client_id: 'prints' })
  const pages = {
    signIn,
    wrongPassword: await visitor.signIn(signIn, { password: 'wrong' }),
    consent: await visitor.signIn(signIn),
    failure: await visitor.authorize({ client_id: 'nobody' }),
    signOut: await visitor.get('/oauth/logout'),
  }
  for (const [name, { html, headers }] of Object.entries(pages)) {
    t.match(html, '<html', name)
    t.match(headers['content-security-policy'], "frame-ancestors 'none'", name)
    t.equal(headers['x-frame-options'], 'DENY', name)
    t.equal(headers['cache-control'], 'no-store', name)
  }
})

t.test('mix-up: another issuer refuses a code, and each response names its issuer', async (t) => {
  const [honest, other] = [await startOAuth(t), await startOAuth(t)]
  const visitor = new Visitor(honest)
  const { answer } = await visitor.signIn(await visitor.authorize())
  const { code = '', iss } = answer ?? {}
  t.equal(iss, issuerUrl)
  t.match(await other.token({ ...redemption, code }), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  const elsewhere = new Visitor(other)
  for (const [name, value] of visitor.cookies) elsewhere.cookies.set(name, value)
  t.equal((await elsewhere.authorize()).answer, null, 'the cookie of a sign-in')
  // The client compares `iss`; metadata tells it that it can.
  const { body } = await honest.token({ ...redemption, code })
  t.match(claimsOf(body.access_token), { client_id: 'spa' })
  const metadata = await honest.call({ url: '/.well-known/oauth-authorization-server' })
  t.equal(metadata.json().authorization_response_iss_parameter_supported, true)
})

t.test('code injection: a stolen code is refused', async (t) => {
  const issuer = await startOAuth(t)
  const victim = new Visitor(issuer)
  const stolen = (await victim.signIn(await victim.authorize())).answer?.code ?? ''
  const invalid = { status: 400, body: { error: 'invalid_grant' } }
  const own = { ...redemption, code_verifier: 'the-verifier-of-the-attacker'.padEnd(43, 'x') }
  t.match(await issuer.token({ ...own, code: stolen }), invalid)
  t.match(await issuer.token({ ...redemption, code: stolen }), invalid, 'it has leaked')

  t.comment('PKCE downgrade: without a verifier, or by a client that needs a secret')
  const next = (await victim.authorize()).answer?.code ?? ''
  const { code_verifier: _, ...downgraded } = redemption
  t.match(await issuer.token({ ...downgraded, code: next }), invalid)
  t.match(await issuer.token({ ...redemption, code: next }), invalid, 'it has leaked')
  const another = (await victim.authorize()).answer?.code ?? ''
  const asBackend = { ...redemption, client_id: 'backend', code: another }
  t.match(await issuer.token(asBackend), { status: 401, body: { error: 'invalid_client' } })
  t.match(await issuer.token(asBackend, backend), invalid, 'a code of another client')
  for (const changes of [
    { code_challenge: undefined },
    { code_challenge_method: undefined },
    { code_challenge: undefined, code_challenge_method: undefined },
    { code_challenge_method: 's256' },
    { code_challenge: codeVerifier, code_challenge_method: 'plain' },
  ]) {
    t.match((await victim.authorize(changes)).answer, { error: 'invalid_request', code: undefined })
  }
})

t.test('only an access token of this issuer can be exchanged', async (t) => {
  const issuer = await startOAuth(t)
  const stranger = await startOAuth(t)
  const tokens = await signInThrough(issuer, new Visitor(issuer))
  const visitor = new Visitor(issuer)
  const code = (await visitor.signIn(await visitor.authorize())).answer?.code ?? ''
  const ada = await issuer.signIn()
  await issuer.users.add({ loginName: 'bob', password })
  const login = { username: 'bob', password, refresh_token_in: 'body' }
  const bob = (await issuer.call({ method: 'POST', url: '/login', body: login })).json()
  const [header, , signature] = String(ada.access_token).split('.')
  const subjects: Record<string, string> = {
    'an ID token': tokens.id_token ?? '',
    'a refresh token': ada.refresh_token,
    'a code': code,
    'a token of another issuer': (await stranger.signIn()).access_token,
    'the claims of another user': `${header}.${String(bob.access_token).split('.')[1]}.${signature}`,
    'an unsigned token': `${header}.${String(bob.access_token).split('.')[1]}.`,
    'a secret': second.secret,
  }
  for (const [name, subject] of Object.entries(subjects)) {
    t.ok(subject, name)
    t.match(
      await issuer.exchange(subject),
      { status: 400, body: { error: 'invalid_request' } },
      name,
    )
  }
  t.equal((await issuer.exchange(bob.access_token)).status, 200)

  t.comment('nobody narrows a token and then widens it')
  const narrow = await issuer.exchange(tokens.access_token ?? '', { scope: 'profile' })
  t.match(narrow, { status: 200 })
  t.match(await issuer.exchange(narrow.body.access_token, { scope: 'openid profile' }), {
    body: { error: 'invalid_scope' },
  })
  t.comment('two audiences, in one parameter or in two')
  for (const more of [`&audience=${audience}`, `&resource=${audience}`]) {
    const form = new URLSearchParams({
      grant_type: exchangeGrant,
      subject_token: ada.access_token,
      subject_token_type: accessTokenUrn,
      audience: 'https://reports.example.com',
    })
    t.match(await issuer.token(`${form}${more}`, billing), { body: { error: 'invalid_target' } })
  }
})

t.test('a secret or a token in an address is refused, and reaches no log', async (t) => {
  const issuer = await startOAuth(t)
  const { access_token, refresh_token } = await issuer.signIn()
  const body = { grant_type: 'client_credentials' }
  const query = `client_id=billing&client_secret=${second.secret}`
  for (const url of ['/oauth/token', '/oauth/revoke', '/oauth/introspect', '/oauth/par']) {
    t.match(await issuer.post(`${url}?${query}`)(body), { body: { error: 'invalid_request' } })
    t.match(await issuer.post(`${url}?token=${refresh_token}`)(body, billing), { status: 400 })
  }
  const userInfo = await issuer.call({ url: `/oauth/userinfo?access_token=${access_token}` })
  t.equal(userInfo.statusCode, 401)
  // A form would be redirected to an address.
  for (const url of ['/oauth/authorize', '/oauth/logout']) {
    const sent = await new Visitor(issuer).post(url, { client_secret: second.secret })
    t.match({ status: sent.status, answer: sent.answer }, { status: 400, answer: null })
  }
  const lines = JSON.stringify(issuer.lines)
  for (const secret of [second.secret, refresh_token, access_token]) t.notMatch(lines, secret)
})

t.test('another client neither introspects nor revokes a token', async (t) => {
  const issuer = await startOAuth(t)
  const { access_token, refresh_token } = await issuer.signIn()
  for (const token of [access_token, refresh_token]) {
    t.equal((await issuer.introspect({ token, client_id: 'web' })).status, 401, 'a public client')
    t.equal((await issuer.introspect({ token }, basic(randomUUID(), 'gps_x'))).status, 401)
    t.match(await issuer.revoke({ token, client_id: 'spa' }), { body: { error: 'invalid_grant' } })
    t.equal((await issuer.revoke({ token, client_id: randomUUID() })).status, 401)
  }
  t.equal((await issuer.refresh(refresh_token)).statusCode, 200, 'the session is alive')
})
