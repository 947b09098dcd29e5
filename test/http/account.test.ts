import { decodeJwt } from 'jose'
import t from 'tap'
import { FakeClock } from '../support/clock.ts'
import { bearer, claimsOf, password, startIssuer } from '../support/issuer.ts'
import { policy } from '../support/sessions.ts'
import { withSignature } from '../support/tokens.ts'

t.test("GET /me is the user's own record, and nothing else", async (t) => {
  const issuer = await startIssuer(t)
  const { access_token } = await issuer.signIn()
  const response = await issuer.call({ url: '/me', headers: bearer(access_token) })
  t.same(Object.keys(response.json()).sort(), ['attributes', 'created_at', 'sub', 'username'])
  t.match(response.json(), { username: 'ada', attributes: { name: 'Ada' } })
})

t.test('GET /sessions lists the devices and marks the current one', async (t) => {
  const issuer = await startIssuer(t)
  const body = { username: 'ada', password }
  const headers = { 'user-agent': 'Phone/1.0'.padEnd(500, 'x') }
  const phone = (await issuer.call({ method: 'POST', url: '/login', body, headers })).json()
  issuer.clock.advance_s(5)
  const laptop = await issuer.signIn()
  const response = await issuer.call({ url: '/sessions', headers: bearer(laptop.access_token) })
  const { sessions } = response.json()
  t.match(sessions, [
    { session_id: laptop.session_id, client_id: 'web', current: true },
    { session_id: phone.session_id, user_agent: /^Phone/, current: false },
  ])
  t.equal(sessions.length, 2)
  t.equal(sessions[1].user_agent.length, 256)
  t.ok(Date.parse(sessions[0].created_at) > Date.parse(sessions[1].created_at))
})

t.test('DELETE /sessions/{id} signs one device out', async (t) => {
  const issuer = await startIssuer(t)
  const phone = await issuer.signIn()
  const laptop = await issuer.signIn()
  const remove = (id: string) =>
    issuer.call({ method: 'DELETE', url: `/sessions/${id}`, headers: bearer(laptop.access_token) })
  t.equal((await remove(phone.session_id)).statusCode, 204)
  t.match((await issuer.refresh(phone.refresh_token)).json(), { code: 'refresh_token_revoked' })
  t.match((await remove(phone.session_id)).json(), { status: 404, code: 'session_not_found' })
  t.equal((await issuer.refresh(laptop.refresh_token)).statusCode, 200)
})

t.test("nobody ends another user's session, or learns that there is one", async (t) => {
  const issuer = await startIssuer(t)
  await issuer.users.add({ loginName: 'eve', password })
  const ada = await issuer.signIn()
  const eve = await issuer.signIn({ username: 'eve' })
  const response = await issuer.call({
    method: 'DELETE',
    url: `/sessions/${ada.session_id}`,
    headers: bearer(eve.access_token),
  })
  t.match(response.json(), { status: 404, code: 'session_not_found' })
  t.equal((await issuer.refresh(ada.refresh_token)).statusCode, 200)
})

t.test('POST /logout/all revokes every session of the user, and no other', async (t) => {
  const issuer = await startIssuer(t)
  await issuer.users.add({ loginName: 'eve', password })
  issuer.clock.advance_s(4)
  const [one, two, eve] = [
    await issuer.signIn(),
    await issuer.signIn(),
    await issuer.signIn({ username: 'eve' }),
  ]
  // A replica that is ahead by less than the skew has dated these tokens.
  issuer.clock.advance_s(-4)
  const url = '/logout/all'
  const response = await issuer.call({ method: 'POST', url, headers: bearer(one.access_token) })
  t.equal(response.statusCode, 204)
  const ended = issuer.revocations.entriesAfter().map(({ id }) => id)
  for (const { refresh_token, access_token, session_id } of [one, two]) {
    t.ok(ended.includes(session_id), 'verifiers refuse its tokens, whatever their time')
    t.equal((await issuer.refresh(refresh_token)).statusCode, 401)
    const me = await issuer.call({ url: '/me', headers: bearer(access_token) })
    t.match(me.json(), { code: 'token_revoked' })
  }
  t.equal((await issuer.refresh(eve.refresh_token)).statusCode, 200)
  t.match(
    issuer.audit().find(({ event }) => event === 'logout.all'),
    { count: 2 },
  )
})

t.test('a sign-in after a sign-out everywhere works at a replica that is behind', async (t) => {
  const issuer = await startIssuer(t)
  const { sub } = decodeJwt((await issuer.signIn()).access_token)
  // By the clock of another replica, which differs by less than the skew.
  const atMs = issuer.clock.nowMs() + 4_000
  await issuer.sessions.revokeAll(String(sub), atMs, policy.revokedKeptMs)
  const { access_token } = await issuer.signIn()
  t.ok(Number(decodeJwt(access_token).iat) > atMs / 1000, 'verifiers accept the new token')
  const me = await issuer.call({ url: '/me', headers: bearer(access_token) })
  t.equal(me.statusCode, 200)

  t.comment('a second sign-out everywhere revokes the new token, which is dated later')
  await issuer.call({ method: 'POST', url: '/logout/all', headers: bearer(access_token) })
  const revocations = await issuer.sessions.revocationsAfter('', 100)
  t.ok(revocations.some(({ id }) => id === decodeJwt(access_token).sid))
})

t.test('POST /logout ends this session by cookie, body or bearer token', async (t) => {
  const issuer = await startIssuer(t)
  for (const by of ['cookie', 'body', 'bearer'] as const) {
    const { refresh_token, access_token } = await issuer.signIn()
    const response = await issuer.call({
      method: 'POST',
      url: '/logout',
      ...(by === 'cookie' && { cookies: { '__Host-gatepass': refresh_token } }),
      ...(by === 'body' && { body: { refresh_token } }),
      ...(by === 'bearer' && { headers: bearer(access_token) }),
    })
    t.equal(response.statusCode, 204, by)
    t.equal(response.body, '')
    if (by === 'cookie') t.match(response.cookies[0], { name: '__Host-gatepass', value: /^$/ })
    t.match((await issuer.refresh(refresh_token)).json(), { code: 'refresh_token_revoked' })
  }
  t.equal(issuer.audit().filter(({ event }) => event === 'logout').length, 3)
})

t.test('signing out twice is no error, signing out without a credential is', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  const logout = () => issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
  t.equal((await logout()).statusCode, 204)
  t.equal((await logout()).statusCode, 204)
  const nobody = await issuer.call({ method: 'POST', url: '/logout' })
  t.match(nobody.json(), { status: 401, code: 'refresh_token_missing' })
})

t.test('a disabled user is signed out immediately', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token, access_token } = await issuer.signIn()
  const me = () => issuer.call({ url: '/me', headers: bearer(access_token) })
  t.comment('a user base may disable an account without ending its sessions')
  const { sub } = claimsOf(access_token)
  await issuer.accounts.setDisabled(`${sub}`, true, issuer.clock.nowMs())
  t.match((await me()).json(), { status: 401, code: 'token_revoked' })
  await issuer.accounts.setDisabled(`${sub}`, false, issuer.clock.nowMs())
  t.equal((await me()).statusCode, 200)

  await issuer.users.disable('ada')
  t.equal((await issuer.refresh(refresh_token)).statusCode, 401)
  t.equal((await me()).statusCode, 401)
})

t.test('every account route needs a valid token and sends a challenge', async (t) => {
  const issuer = await startIssuer(t)
  const { access_token } = await issuer.signIn()
  const forged = withSignature(access_token, (signature) => signature.reverse())
  for (const [method, url] of [
    ['GET', '/me'],
    ['GET', '/sessions'],
    ['DELETE', '/sessions/x'],
    ['POST', '/logout/all'],
  ] as const) {
    const none = await issuer.call({ method, url })
    t.match(none.json(), { status: 401, code: 'token_missing' }, url)
    t.equal(none.headers['www-authenticate'], 'Bearer')
    const bad = await issuer.call({ method, url, headers: bearer(forged) })
    t.match(bad.json(), { status: 401, code: 'token_signature' }, url)
    t.match(bad.headers['www-authenticate'], /error="invalid_token"/)
  }
})

t.test('an access token is refused from its exp on', async (t) => {
  const issuer = await startIssuer(t)
  const { access_token } = await issuer.signIn()
  const me = () => issuer.call({ url: '/me', headers: bearer(access_token) })
  issuer.clock.advance_s(299)
  t.equal((await me()).statusCode, 200)
  issuer.clock.advance_s(6)
  t.match((await me()).json(), { code: 'token_expired' })
})

t.test('I11, SQLite: after a jump of the clock no sign-out is acknowledged', async (t) => {
  const boot = new FakeClock(0)
  const issuer = await startIssuer(t, { monitorClock: { uptimeMs: () => boot.nowMs() } })
  const { refresh_token, access_token, session_id } = await issuer.signIn()
  const headers = bearer(access_token)
  const logout = { method: 'POST', url: '/logout', body: { refresh_token } } as const
  const logoutAll = { method: 'POST', url: '/logout/all', headers } as const
  const endSession = { method: 'DELETE', url: `/sessions/${session_id}`, headers } as const
  for (const [jumpMs, requests] of [
    // Here a token is not valid yet.
    [-3_600_000, [logout]],
    [60_000, [logout, logoutAll, endSession]],
  ] as const) {
    issuer.clock.advanceMs(jumpMs)
    for (const request of requests) {
      const answer = await issuer.call(request)
      t.match(answer.json(), { status: 503, code: 'clock_skew' }, `${request.url} ${jumpMs}`)
      t.equal(answer.headers['retry-after'], '5')
    }
    t.same(await issuer.sessions.revocationsAfter('', 10), [])
    issuer.clock.advanceMs(-jumpMs)
  }
  t.equal((await issuer.refresh(refresh_token)).statusCode, 200, 'the session goes on')
  t.equal((await issuer.call(logout)).statusCode, 204, 'and ends when the clock is right')
})
