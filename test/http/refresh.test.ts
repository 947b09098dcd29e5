import t from 'tap'
import { FakeClock } from '../support/clock.ts'
import { password, startIssuer, type TestIssuer } from '../support/issuer.ts'

const cookieName = '__Host-gatepass'
const afterGrace_s = 10

t.test('replaces the refresh token and mints the next access token', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token, access_token, session_id } = await issuer.signIn()
  issuer.clock.advance_s(afterGrace_s)
  const response = await issuer.refresh(refresh_token)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['cache-control'], 'no-store')
  t.match(response.json(), { session_id, refresh_token: /\.1\./, scope: 'data:read' })
  t.not(response.json().access_token, access_token)
})

t.test('a refresh by cookie sets the cookie', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  issuer.clock.advance_s(afterGrace_s)
  const response = await issuer.call({
    method: 'POST',
    url: '/refresh',
    cookies: { [cookieName]: refresh_token },
  })
  t.equal(response.statusCode, 200)
  t.notOk('refresh_token' in response.json())
  t.match(response.cookies[0], { name: cookieName, value: /\.1\./, httpOnly: true, secure: true })
})

t.test('an overtaken response does not restore the old cookie', async (t) => {
  const issuer = await startIssuer(t)
  const byCookie = (value: string) =>
    issuer.call({ method: 'POST', url: '/refresh', cookies: { [cookieName]: value } })
  let jar = (await issuer.signIn()).refresh_token
  /** Stores the cookie of a response, as a browser does. */
  const arrives = (answer: Awaited<ReturnType<typeof byCookie>>) => {
    t.equal(answer.statusCode, 200)
    jar = answer.cookies[0]?.value ?? jar
  }

  issuer.clock.advance_s(afterGrace_s / 2)
  const early = await byCookie(jar)
  t.equal(early.cookies[0]?.value, jar, 'in the first half of grace it is set again')
  issuer.clock.advance_s(afterGrace_s / 2 - 1)
  const slow = await byCookie(jar)
  t.same(slow.cookies, [], 'in the second half it is not')
  issuer.clock.advance_s(1)
  arrives(await byCookie(jar))
  arrives(slow)
  t.match(jar, /\.1\./)
  issuer.clock.advance_s(afterGrace_s)
  arrives(await byCookie(jar))
  t.match(jar, /\.2\./, 'and the session goes on')
})

t.test('a refresh by body always returns the refresh token', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  issuer.clock.advance_s(afterGrace_s - 1)
  t.match((await issuer.refresh(refresh_token)).json(), { refresh_token })
})

t.test('invariant 4: fifty concurrent refreshes get one successor', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  issuer.clock.advance_s(afterGrace_s)
  const answers = await Promise.all(Array.from({ length: 50 }, () => issuer.refresh(refresh_token)))
  t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
  t.equal(new Set(answers.map((answer) => answer.json().refresh_token)).size, 1)
})

t.test('a retry with its Idempotency-Key gets a lost response, days later', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  issuer.clock.advance_s(afterGrace_s)
  const key = { 'idempotency-key': '"attempt-1"' }
  const lost = await issuer.refresh(refresh_token, key)
  issuer.clock.advance_s(3_000)
  const again = await issuer.refresh(refresh_token, key)
  t.equal(again.statusCode, 200)
  t.equal(again.json().refresh_token, lost.json().refresh_token)
})

t.test(
  'I1: reuse after grace ends the session, its access tokens too, and is told once',
  async (t) => {
    const issuer = await startIssuer(t)
    const { refresh_token, session_id } = await issuer.signIn()
    issuer.clock.advance_s(afterGrace_s)
    const next = (await issuer.refresh(refresh_token)).json()
    issuer.clock.advance_s(afterGrace_s)

    const reused = await issuer.refresh(refresh_token)
    t.match(reused.json(), { status: 401, code: 'refresh_token_reused' })
    t.match((await issuer.refresh(next.refresh_token)).json(), { code: 'refresh_token_revoked' })
    t.match((await issuer.refresh(refresh_token)).json(), { code: 'refresh_token_revoked' })
    const me = await issuer.call({
      url: '/me',
      headers: { authorization: `Bearer ${next.access_token}` },
    })
    t.match(me.json(), { status: 401, code: 'token_revoked' })
    t.match(me.headers['www-authenticate'], /invalid_token/)
    const told = issuer.audit().filter(({ event }) => event === 'refresh.reused')
    t.match(told, [{ sid: session_id, sub: String }])
    t.equal(told.length, 1)
  },
)

t.test(
  'I12: a thief who retries all the time is found by the next refresh of the owner',
  async (t) => {
    const issuer = await startIssuer(t)
    const { refresh_token } = await issuer.signIn()
    issuer.clock.advance_s(afterGrace_s)
    const thiefs = { 'idempotency-key': 'of-the-thief' }
    for (let times = 0; times < 8; times++) {
      t.equal((await issuer.refresh(refresh_token, thiefs)).statusCode, 200)
      issuer.clock.advance_s(afterGrace_s - 1)
    }
    const owners = await issuer.refresh(refresh_token, { 'idempotency-key': 'of-the-owner' })
    t.match(owners.json(), { status: 401, code: 'refresh_token_reused' })
    t.match((await issuer.refresh(refresh_token, thiefs)).json(), { code: 'refresh_token_revoked' })
  },
)

t.test('a copy of a refresh after the grace period gets the same response', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  const send = async (token: string, key: string) => {
    const answer = await issuer.refresh(token, { 'idempotency-key': key })
    return answer.json().refresh_token
  }
  issuer.clock.advance_s(afterGrace_s - 1)
  t.equal(await send(refresh_token, 'first'), refresh_token)
  issuer.clock.advance_s(3)
  t.equal(await send(refresh_token, 'first'), refresh_token, 'a copy, whose answer nobody reads')
  issuer.clock.advance_s(100)
  const next = await send(refresh_token, 'second')
  t.match(next, /\.1\./, 'and the session goes on')
})

t.test('an idle session expires', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  issuer.clock.advance_s(3_600)
  t.match((await issuer.refresh(refresh_token)).json(), { code: 'refresh_token_expired' })
})

t.test('I11: no session expires by a clock that has jumped ahead', async (t) => {
  const boot = new FakeClock(0)
  const issuer = await startIssuer(t, { monitorClock: { uptimeMs: () => boot.nowMs() } })
  const { refresh_token } = await issuer.signIn()
  const cookies = { [cookieName]: refresh_token }
  const refresh = () => issuer.call({ method: 'POST', url: '/refresh', cookies })
  const month_s = 30 * 86_400

  issuer.clock.advance_s(month_s)
  const refused = await refresh()
  t.match(refused.json(), { status: 503, code: 'clock_skew' })
  t.equal(refused.headers['retry-after'], '5')
  t.same(refused.cookies, [], 'the cookie is kept for the retry')
  t.notOk(issuer.audit().some(({ event }) => event === 'refresh.refused'))
  issuer.clock.advance_s(-month_s)
  t.equal((await refresh()).statusCode, 200, 'the session goes on when the clock is right')

  issuer.clock.advance_s(month_s)
  boot.advance_s(month_s)
  t.match((await refresh()).json(), { code: 'refresh_token_expired' }, 'after a real month')
})

t.test('I2: a forged token never reaches the store', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  await issuer.sessions.close()
  for (const forged of [
    refresh_token.slice(0, -1),
    refresh_token.replace('.0.', '.1.'),
    'gpr_nonsense',
    refresh_token.replace('gpr_', 'gpr-'),
  ]) {
    t.match((await issuer.refresh(forged)).json(), { status: 401, code: 'refresh_token_malformed' })
  }
  const stored = await issuer.refresh(refresh_token)
  t.match(stored.json(), { status: 503, code: 'store_unavailable' })
  t.equal(stored.headers['retry-after'], '1')
})

t.test(
  'a missing token is an error of its own, also with a content type and no body',
  async (t) => {
    const issuer = await startIssuer(t)
    for (const headers of [{}, { 'content-type': 'application/json' }]) {
      const response = await issuer.call({ method: 'POST', url: '/refresh', headers })
      t.match(response.json(), { status: 401, code: 'refresh_token_missing' })
    }
  },
)

t.test(
  'a cookie that can never work again is taken back; during an outage it is kept',
  async (t) => {
    const issuer = await startIssuer(t)
    const { refresh_token } = await issuer.signIn()
    const byCookie = (value: string) =>
      issuer.call({ method: 'POST', url: '/refresh', cookies: { [cookieName]: value } })

    const dead = await byCookie('gpr_of_nobody')
    t.equal(dead.statusCode, 401)
    t.match(dead.cookies[0], {
      name: cookieName,
      value: /^$/,
      httpOnly: true,
      secure: true,
      path: '/',
    })
    t.equal((dead.cookies[0] as { expires?: Date }).expires?.getTime(), 0)

    await issuer.sessions.close()
    const outage = await byCookie(refresh_token)
    t.equal(outage.statusCode, 503)
    t.same(outage.cookies, [])
  },
)

t.test("issuers on ports of one host keep out of one another's cookies", async (t) => {
  const first = await startIssuer(t, { cookieSuffix: '-4000' })
  const second = await startIssuer(t, { cookieSuffix: '-5000' })
  const jar: Record<string, string> = {}
  const call = async (issuer: TestIssuer, url: string, body?: object) => {
    const response = await issuer.call({ method: 'POST', url, cookies: jar, ...(body && { body }) })
    for (const { name, value } of response.cookies) jar[name] = value
    return response.statusCode
  }
  for (const issuer of [first, second]) await call(issuer, '/login', { username: 'ada', password })
  t.same(Object.keys(jar), [
    ...[`${cookieName}-4000`, `${cookieName}-device-4000`],
    ...[`${cookieName}-5000`, `${cookieName}-device-5000`],
  ])
  t.equal(await call(first, '/refresh'), 200)
  t.equal(await call(second, '/logout'), 204)
  t.equal(await call(first, '/refresh'), 200)
  t.equal(await call(second, '/refresh'), 401)
})

t.test('I14: a bad token in the body leaves a good cookie alone', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token: good } = await issuer.signIn()
  const { refresh_token: ended } = await issuer.signIn()
  const cookies = { [cookieName]: good }
  const post = (url: string, refresh_token?: string) =>
    issuer.call({ method: 'POST', url, cookies, ...(refresh_token && { body: { refresh_token } }) })
  t.equal((await post('/logout', ended)).statusCode, 204)
  for (const [url, token, code] of [
    ['/refresh', ended, 'refresh_token_revoked'],
    ['/refresh', 'gpr_of_nobody', 'refresh_token_malformed'],
    ['/logout', 'gpr_of_nobody', 'refresh_token_malformed'],
  ] as const) {
    const response = await post(url, token)
    t.match(response.json(), { code })
    t.same(response.cookies, [], `${url}, ${code}`)
  }
  t.equal((await post('/refresh')).statusCode, 200, 'the cookie still works')
})

t.test('I8: a duplicated cookie is refused and cleared', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  const response = await issuer.call({
    method: 'POST',
    url: '/refresh',
    headers: { cookie: `${cookieName}=planted; ${cookieName}=${refresh_token}` },
  })
  t.match(response.json(), { status: 400, code: 'cookie_duplicated' })
  t.match(response.cookies[0], { name: cookieName, value: /^$/ })
})

t.test('I8: a cookie with a space of Unicode before its name is another cookie', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  // Another host of the domain can set such a cookie: browsers see no prefix `__Host-` in its name.
  const refresh = (cookie: string) =>
    issuer.call({ method: 'POST', url: '/refresh', headers: { cookie } })
  const both = await refresh(`${cookieName}=${refresh_token}; \xa0${cookieName}=planted`)
  t.equal(both.statusCode, 200)
  const alone = await refresh(`\xa0${cookieName}=${refresh_token}`)
  t.match(alone.json(), { code: 'refresh_token_missing' })
})

t.test('a refresh reads the current attributes of the account', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn({ scope: 'profile' })
  await issuer.users.setPassword('ada', 'another good password')
  issuer.clock.advance_s(afterGrace_s)
  // A changed password ends the sessions that were there before.
  t.match((await issuer.refresh(refresh_token)).json(), { code: 'refresh_token_revoked' })
})

t.test('a refresh whose access token cannot be minted changes nothing', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn({ scope: 'profile' })
  const { findBySub } = issuer.accounts
  issuer.accounts.findBySub = async (sub) => {
    const account = await findBySub.call(issuer.accounts, sub)
    return account && { ...account, attributes: { name: 'x'.repeat(5000) } }
  }
  for (let attempt = 0; attempt < 2; attempt += 1) {
    issuer.clock.advance_s(afterGrace_s)
    t.match((await issuer.refresh(refresh_token)).json(), { code: 'token_too_large' })
  }
  issuer.accounts.findBySub = findBySub
  t.equal((await issuer.refresh(refresh_token)).statusCode, 200)
})
