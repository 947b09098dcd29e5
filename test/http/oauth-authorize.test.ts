import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { audience, claimsOf, issuerUrl, password } from '../support/issuer.ts'
import { clients, first, redirectUri, reports, startOAuth } from '../support/oauth.ts'
import { goodRequest, redemption, Visitor } from '../support/visitor.ts'

const thirdParty = {
  client_id: 'prints',
  client_name: 'Photo Prints',
  grants: ['authorization_code', 'refresh_token'] as const,
  redirect_uris: ['https://prints.example/cb', 'example.prints://accounts.example/cb'],
  scopes: { profile: ['name'], 'data:read': [] },
  third_party: true,
}
const prints = { client_id: 'prints', redirect_uri: 'https://prints.example/cb' }
const withPrints = { clients: [...clients, thirdParty] as unknown as typeof clients }

t.test('a user signs in on the page, and the client gets tokens for the code', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize({ scope: 'data:read', login_hint: 'ada"<b>' })
  t.equal(page.status, 200)
  t.match(page.html, /<title>Sign in &middot; auth\.example\.com<\/title>/)
  t.match(page.html, 'value="ada&#34;&#60;b&#62;"')
  const done = await visitor.signIn(page)
  t.equal(done.status, 303)
  t.match(done.answer, { url: redirectUri, state: 'the state', iss: issuerUrl, code: /^gpc_/ })
  const { body } = await issuer.token({ ...redemption, code: done.answer?.code ?? '' })
  const claims = claimsOf(body.access_token)
  t.match(claims, { client_id: 'spa', scope: 'data:read', acr: '1', amr: ['pwd'], sid: /./ })
  t.equal('id_token' in body, false)

  t.comment('a request that names an audience is for this audience only')
  const redeem = async (resource?: string) => {
    const { answer } = await visitor.authorize({ resource: reports })
    return issuer.token({ ...redemption, code: answer?.code ?? '', ...(resource && { resource }) })
  }
  t.equal(claimsOf((await redeem()).body.access_token).aud, reports)
  t.match(await redeem(audience), {
    status: 400,
    body: { error: 'invalid_target', error_description: /another audience/ },
  })
})

t.test('a user who is signed in is not asked again, until the sign-in ends', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  issuer.clock.advance_s(60)
  const second = await visitor.authorize()
  t.match(second.answer, { code: /^gpc_/ })
  const { body } = await issuer.token({ ...redemption, code: second.answer?.code ?? '' })
  t.equal(claimsOf(body.access_token).auth_time, (claimsOf(body.access_token).iat as number) - 60)
  // A user base of its own may disable an account without ending its sessions.
  const { sub } = claimsOf(body.access_token)
  const { code = '' } = (await visitor.authorize()).answer ?? {}
  await issuer.accounts.setDisabled(`${sub}`, true, issuer.clock.nowMs())
  t.match(await issuer.token({ ...redemption, code }), { body: { error: 'invalid_grant' } })
  t.match(JSON.stringify(issuer.lines), 'authorization code: its account is deleted or disabled')
  t.match(await visitor.authorize(), { status: 200, answer: null })
  await issuer.accounts.setDisabled(`${sub}`, false, issuer.clock.nowMs())
  // The sign-in is an ordinary session, which the user sees and ends.
  const authorization = `Bearer ${body.access_token}`
  const listed = await issuer.call({ url: '/sessions', headers: { authorization } })
  const own = listed
    .json()
    .sessions.find((one: { client_id: string }) => one.client_id === 'gatepass-sign-in')
  const ended = await issuer.call({
    method: 'DELETE',
    url: `/sessions/${own.session_id}`,
    headers: { authorization },
  })
  t.equal(ended.statusCode, 204)
  t.equal((await visitor.authorize()).status, 200)
  // The session of the client is its own.
  t.equal((await issuer.call({ url: '/me', headers: { authorization } })).statusCode, 200)
})

t.test('a sign-in ends by the present session settings, not by those it began with', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  const database = new DatabaseSync(issuer.sessionsPath)
  database.exec('UPDATE sessions SET expires_at_ms = expires_at_ms + 36000000')
  database.close()
  issuer.clock.advance_s(3_599)
  t.match((await visitor.authorize()).answer, { code: /^gpc_/ })
  issuer.clock.advance_s(1)
  t.match((await visitor.authorize({ prompt: 'none' })).answer, { error: 'login_required' })
  const done = await visitor.signIn(await visitor.authorize())
  t.match(done.answer, { code: /^gpc_/ })
})

t.test('a code stores no more of the User-Agent than a session', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  const headers = { 'user-agent': 'Phone/1.0'.padEnd(10_000, 'x') }
  t.match((await visitor.authorize({}, headers)).answer, { code: /^gpc_/ })
  const database = new DatabaseSync(issuer.sessionsPath)
  const { longest } =
    database.prepare('SELECT max(length(payload)) longest FROM one_time').get() ?? {}
  database.close()
  t.ok(Number(longest) < 1_000, `a payload of ${longest} characters`)
})

t.test('a sign-in cookie is no refresh token, and a forged one is ignored', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  const [name, value] = [...visitor.cookies].find(([name]) => name.includes('sign-in')) ?? ['', '']
  t.match(name, '__Host-gatepass-sign-in')
  t.equal((await issuer.refresh(value)).statusCode, 401)
  const [sid = ''] = value.slice('gpi_'.length).split('.')
  for (const forged of [sid, `gpi_${sid}.${'A'.repeat(43)}`, `gpi_${sid}`, `gpr_${sid}.0.x`, '']) {
    visitor.cookies.set(name, forged)
    t.equal((await visitor.authorize()).answer, null)
  }
})

t.test('a failed sign-in shows the form again, and a throttled one says so', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  let page = await visitor.authorize()
  for (const fields of [{ password: 'wrong' }, { username: 'nobody' }, { password: '' }]) {
    page = await visitor.signIn(page, fields)
    t.match(page.html, /role="alert">The user name or the password is wrong\./)
  }
  while (page.html.includes('is wrong')) page = await visitor.signIn(page, { username: 'bob' })
  t.match(page.html, /too many attempts\. Try again in \d+ seconds?\./)
  t.match(page.html, 'value="bob"')
  t.match((await visitor.signIn(page, { username: ' Ada ' })).answer, { code: /^gpc_/ })
  t.notMatch(JSON.stringify(issuer.lines), password)
})

t.test('a form is answered by a redirect, whose address tells nothing', async (t) => {
  const issuer = await startOAuth(t, withPrints)
  const visitor = new Visitor(issuer)
  const pushed = await issuer.post('/oauth/par')({ ...goodRequest, ...prints, scope: 'profile' })
  const query = new URLSearchParams({ client_id: 'prints', ...pushed.body })
  const page = await visitor.get(`/oauth/authorize?${query}`)
  const failed = await visitor.signIn(page, { username: password, password: 'wrong' })
  t.match(failed.url, /^\/oauth\/sign-in\?interaction=/)
  const question = await visitor.signIn(failed)
  t.match(question.url, /^\/oauth\/consent\?interaction=/)
  for (const { url } of [failed, question]) {
    const [, text = ''] = url.split('=')
    for (const part of text.split('.')) {
      t.notMatch(Buffer.from(part, 'base64url').toString('latin1'), /prints|state|correct horse/)
    }
  }
  t.match((await visitor.get(question.url)).html, 'Allow <bdi>Photo Prints</bdi>', 'a reload')
  t.match(await new Visitor(issuer).get(question.url), { status: 400, form: null })
  t.match((await visitor.submit(question, { decision: 'allow' })).answer, { code: /^gpc_/ })
  t.match((await visitor.get(question.url)).html, 'Allow <bdi>Photo Prints</bdi>', 'the way back')
  issuer.clock.advance_s(6)
  const used = await visitor.submit(question, { decision: 'allow' })
  t.match(used.html, '>Back to the application</a>')

  t.comment('the sign-in of another user does not count for a request that asks for one of its own')
  const own = await visitor.authorize({ ...prints, prompt: 'login consent' })
  const asked = await visitor.signIn(own)
  t.match((await visitor.get(asked.url)).html, 'Allow <bdi>Photo Prints</bdi>')
  await issuer.users.add({ loginName: 'bob', password })
  await visitor.signIn(await visitor.authorize({ prompt: 'login' }), { username: 'bob' })
  t.match((await visitor.get(asked.url)).html, 'to continue to <bdi>Photo Prints</bdi>')
})

t.test('a page runs no script and cannot be framed', async (t) => {
  const issuer = await startOAuth(t)
  const { headers, html } = await new Visitor(issuer).authorize()
  t.match(headers, {
    'content-security-policy':
      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'",
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
  })
  t.notMatch(html, /<script|style="|https?:\/\//)
  for (const [, url = ''] of html.matchAll(/(?:href|src)="([^"]+)"/g)) {
    t.equal((await issuer.call({ url })).statusCode, 200, url)
  }
})

t.test('the pages show the host as the address bar does', async (t) => {
  const issuer = await startOAuth(t, { url: 'https://xn--mnchen-3ya.example:8443' })
  const { html } = await new Visitor(issuer).authorize()
  t.match(html, '<span>münchen.example:8443</span>')
})

t.test('no form of another site is accepted', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize()
  const stranger = new Visitor(issuer)
  const theirs = await stranger.authorize()
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'https://blog.example.com' },
    { 'sec-fetch-site': 'cross-site', origin: 'null' },
  ]) {
    t.equal((await visitor.submit(page, { username: 'ada', password }, headers)).status, 403)
  }
  // A login by force: the form of the attacker's own browser.
  t.match((await visitor.signIn(theirs)).html, 'This page has expired')
  for (const interaction of ['', 'x', 'x.y', page.form?.fields.interaction?.slice(1) ?? '']) {
    t.equal((await visitor.signIn(page, { interaction })).status, 400)
  }
  t.notOk(visitor.cookies.has('__Host-gatepass-sign-in'))
  visitor.cookies.clear()
  t.match((await visitor.signIn(page)).html, 'This page has expired')
  t.notOk(visitor.cookies.has('__Host-gatepass-sign-in'))
})

t.test('two tabs that open at once: the form without its cookie is shown again', async (t) => {
  const issuer = await startOAuth(t)
  const [visitor, other] = [new Visitor(issuer), new Visitor(issuer)]
  const first = await visitor.authorize({ state: 'of the first tab' })
  // Neither tab has the cookie yet, and the cookie of the second tab replaces that of the first.
  await other.authorize()
  for (const [name, value] of other.cookies) visitor.cookies.set(name, value)
  const again = await visitor.signIn(first)
  t.match(again.html, /This page has expired/)
  t.match(again.html, /name="username" value="ada"/)
  t.notMatch(again.html, password)
  const { answer } = await visitor.signIn(again)
  t.match(answer, { code: /^gpc_/, state: 'of the first tab' })
})

t.test('the address after a failed sign-in shows the typed name to no other browser', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const { url, html } = await visitor.signIn(await visitor.authorize(), {
    username: 'secret-typed-as-a-name',
    password: 'wrong',
  })
  t.match(html, 'secret-typed-as-a-name')
  const elsewhere = await new Visitor(issuer).get(url)
  t.match(elsewhere.html, /This page has expired/)
  t.notMatch(elsewhere.html, 'secret-typed-as-a-name')
})

t.test('a user whose browser keeps no cookies is told what to do', async (t) => {
  const visitor = new Visitor(await startOAuth(t))
  let page = await visitor.authorize()
  for (let attempt = 0; attempt < 2; attempt++) {
    visitor.cookies.clear()
    page = await visitor.signIn(page)
    t.match(page.html, /allow the cookies of this site/)
  }
  visitor.cookies.clear()
  const canceled = await visitor.submit(page, { decision: 'cancel' })
  t.match(canceled.answer, { error: 'access_denied', state: 'the state' })
})

t.test('a form that is sent after its hour is shown again', async (t) => {
  const issuer = await startOAuth(t, withPrints)
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize()
  issuer.clock.advanceMs(3_601_000)
  const again = await visitor.signIn(page)
  t.match(again.html, /This page has expired/)
  t.match((await visitor.signIn(again)).answer, { code: /^gpc_/ })

  t.comment('a consent, or a sign-out, starts again by a link')
  const question = await visitor.authorize({ ...prints, scope: 'profile', ui_locales: 'de' })
  const signOut = await visitor.get('/oauth/logout?ui_locales=de&state=s')
  visitor.cookies.delete('__Host-gatepass-browser')
  const late = await visitor.submit(question, { decision: 'allow' })
  t.match(late, { status: 400, answer: null, form: null })
  t.match(late.html, 'Diese Seite ist abgelaufen.')
  const asked = await visitor.get(late.failureLink ?? '')
  t.match(asked.html, /Photo Prints.* Konto verwenden/)
  t.match((await visitor.submit(asked, { decision: 'allow' })).answer, {
    url: prints.redirect_uri,
    code: /^gpc_/,
    state: 'the state',
  })
  const notSignedOut = await visitor.submit(signOut, {})
  t.match(notSignedOut.html, '>Neu beginnen</a>')
  t.equal(notSignedOut.failureLink, '/oauth/logout?ui_locales=de&state=s')
  const ofOtherSite = { 'sec-fetch-site': 'cross-site', origin: 'null' }
  t.match(await visitor.submit(question, {}, ofOtherSite), { status: 403, failureLink: null })
})

t.test('a form without a request, and one of a pushed request, are not shown again', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const { request_uri = '' } = (await issuer.post('/oauth/par')(goodRequest)).body
  const query = new URLSearchParams({ client_id: 'spa', request_uri })
  const pushed = await visitor.get(`/oauth/authorize?${query}`)
  visitor.cookies.clear()
  for (const interaction of ['x', pushed.form?.fields.interaction ?? '']) {
    const refused = await visitor.post('/oauth/sign-in', { interaction, username: 'ada', password })
    t.match(refused, { status: 400, form: null, answer: null })
  }
})

t.test('the address of a form, opened by GET, is a page that says it has expired', async (t) => {
  const issuer = await startOAuth(t)
  for (const url of ['/oauth/sign-in', '/oauth/consent']) {
    const { status, html, headers } = await new Visitor(issuer).get(url)
    t.equal(status, 400, url)
    t.match(headers['content-type'], 'text/html')
    t.match(html, /This page has expired/)
  }
})

t.test('nobody is redirected to an address that is not registered', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  for (const changes of [
    { redirect_uri: 'https://evil.example/cb' },
    { redirect_uri: `${redirectUri}/` },
    { redirect_uri: undefined },
    { client_id: 'web' },
    { client_id: 'nobody' },
    { client_id: undefined },
    { redirect_uri: 'javascript:alert(1)', prompt: 'none', response_type: 'token' },
  ]) {
    const page = await visitor.authorize(changes)
    t.match({ status: page.status, answer: page.answer }, { status: 400, answer: null })
    t.match(page.html, /role="alert"/)
    t.notMatch(page.html, 'evil.example')
  }
  t.match((await visitor.authorize({ response_type: 'token' })).answer, {
    url: redirectUri,
    error: 'unsupported_response_type',
    state: 'the state',
    iss: issuerUrl,
  })
  t.match((await visitor.authorize({ code_challenge_method: 'plain' })).answer, {
    error: 'invalid_request',
  })

  t.comment('the log says why, also for a pushed request')
  for (const [changes, error, code] of [
    [{ scope: 'admin' }, 'invalid_scope', 'scope_not_allowed'],
    [{ response_type: 'token' }, 'unsupported_response_type', 'request_malformed'],
  ] as const) {
    t.match((await visitor.authorize(changes)).answer, { error })
    t.match(issuer.lines.at(-2), { msg: 'refused', code, level: 20 })
    const pushed = await issuer.post('/oauth/par')({ ...goodRequest, ...changes })
    t.match(pushed, { status: 400, body: { error } })
    t.match(issuer.lines.at(-2), { msg: 'refused', code, level: 20 })
  }
})

t.test('prompt and max_age decide whether a user signs in again', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  t.match((await visitor.authorize({ prompt: 'none' })).answer, { error: 'login_required' })
  await visitor.signIn(await visitor.authorize())
  t.match((await visitor.authorize({ prompt: 'none' })).answer, { code: /./ })
  issuer.clock.advance_s(100)
  t.match((await visitor.authorize({ max_age: '100' })).answer, { code: /./ })
  for (const asked of [{ max_age: '99' }, { max_age: '0' }, { prompt: 'login' }]) {
    t.match((await visitor.authorize({ ...asked, prompt: 'none' })).answer, {
      ...(asked.prompt ? { code: /./ } : { error: 'login_required' }),
    })
    const page = await visitor.authorize(asked)
    t.equal(page.status, 200)
    t.match((await visitor.signIn(page)).answer, { code: /./ })
    issuer.clock.advance_s(100)
  }
  // Each sign-in takes the place of the one before.
  const sub = String(issuer.audit().find(({ event }) => event === 'login.ok')?.sub)
  t.equal((await issuer.sessions.listBySub(sub, issuer.clock.nowMs())).length, 1)
})

t.test('a sign-in that the clock dates in the future is too old for any max_age', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  issuer.clock.advance_s(-3600)
  t.match((await visitor.authorize()).answer, { code: /./ })
  const page = await visitor.authorize({ max_age: '60' })
  t.equal(page.answer, null, 'its age is unknown')
  t.match((await visitor.signIn(page)).answer, { code: /./ })
  t.match((await visitor.authorize({ max_age: '60' })).answer, { code: /./ })
})

t.test('a canceled sign-in is access_denied', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize()
  t.match((await visitor.submit(page, { decision: 'cancel' })).answer, {
    url: redirectUri,
    error: 'access_denied',
    state: 'the state',
    iss: issuerUrl,
  })
})

t.test(
  'a client of a third party needs consent, which is remembered by user and scope',
  async (t) => {
    const issuer = await startOAuth(t, withPrints)
    await issuer.users.add({ loginName: 'bob', password })
    const visitor = new Visitor(issuer)
    const page = await visitor.authorize({ ...prints, scope: 'profile' })
    t.match(page.html, 'to continue to <bdi>Photo Prints</bdi>')
    const question = await visitor.signIn(page)
    t.equal(question.status, 200)
    t.match(question.html, 'Allow <bdi>Photo Prints</bdi> to use your account?')
    t.match(question.html, /see your profile <span class="soft">\(name\)</)
    t.match((await visitor.authorize({ ...prints, scope: 'profile', prompt: 'none' })).answer, {
      error: 'consent_required',
    })
    t.match((await visitor.submit(question, { decision: 'deny' })).answer, {
      url: prints.redirect_uri,
      error: 'access_denied',
    })
    t.match((await visitor.submit(question, { decision: 'allow' })).answer, { code: /^gpc_/ })
    t.match(issuer.audit().at(-1), { event: 'consent.granted', client_id: 'prints' })
    t.match((await visitor.authorize({ ...prints, scope: 'profile' })).answer, { code: /^gpc_/ })
    t.equal((await visitor.authorize({ ...prints, scope: 'profile data:read' })).answer, null)
    t.equal(
      (await visitor.authorize({ ...prints, scope: 'profile', prompt: 'consent' })).answer,
      null,
    )
    const ofApp = { client_id: 'prints', redirect_uri: 'example.prints://accounts.example/cb' }
    const sent = await visitor.authorize({ ...ofApp, scope: 'data:read' })
    t.match(sent.html, 'You will be sent to example.prints.', 'its app, not a host of its choice')
    t.match(sent.html, /<li>know that it is you<.*\n.*<li><code>data:read</, 'also without openid')
    const again = await visitor.authorize({ ...prints, scope: 'data:read', prompt: 'login' })
    const fresh = await visitor.signIn(again)
    t.match(fresh.html, 'Allow <bdi>Photo Prints</bdi>', 'the password was just asked for')
    t.match((await visitor.submit(fresh, { decision: 'allow' })).answer, { code: /^gpc_/ })
    t.comment('the user has signed in again in another tab')
    const open = await visitor.signIn(
      await visitor.authorize({ ...prints, prompt: 'login consent' }),
    )
    await visitor.signIn(await visitor.authorize({ prompt: 'login' }))
    t.match((await visitor.submit(open, { decision: 'allow' })).answer, { code: /^gpc_/ })
    // Another user in the same browser.
    const switched = await visitor.submit(question, { decision: 'switch_user' })
    const asBob = await visitor.signIn(switched, { username: 'bob' })
    t.match(asBob.html, 'You are signed in as <bdi>bob</bdi>.')
    // The question was put to ada.
    const late = await visitor.submit(question, { decision: 'allow' })
    t.equal(late.answer, null)
    t.match(late.html, 'You are signed in as <bdi>bob</bdi>.')
    // The form of the sign-in is no consent.
    t.equal(
      (await visitor.post('/oauth/consent', { ...page.form?.fields, decision: 'allow' })).answer,
      null,
    )
  },
)

t.test('a pushed request is used once, by one browser and one client', async (t) => {
  const posting = {
    client_id: 'posting',
    auth_method: 'client_secret_post',
    secret_hashes: [first.hash],
    grants: ['authorization_code'],
    redirect_uris: [redirectUri],
    scopes: {},
  }
  const issuer = await startOAuth(t, {
    clients: [...clients, posting] as unknown as typeof clients,
  })
  const push = (changes = {}) => issuer.post('/oauth/par')({ ...goodRequest, ...changes })
  const pushed = await push({ scope: 'data:write' })
  t.match(pushed, {
    status: 201,
    body: { expires_in: 90, request_uri: /^urn:ietf:params:oauth:request_uri:/ },
  })
  const { request_uri } = pushed.body
  const visitor = new Visitor(issuer)
  const come = (who: Visitor, client_id = 'spa', more = '') =>
    who.get(
      `/oauth/authorize?${new URLSearchParams({ client_id, request_uri, scope: 'profile' })}${more}`,
    )
  for (const more of ['&client_id=spa', `&request_uri=x`, `&client_secret=${first.secret}`]) {
    t.equal((await come(new Visitor(issuer), 'spa', more)).status, 400, more)
  }
  const page = await come(visitor)
  t.equal(page.status, 200)
  t.equal((await come(visitor)).status, 200, 'a reload')
  t.equal((await come(new Visitor(issuer))).status, 400, 'another browser')
  t.equal((await come(visitor, 'backend')).status, 400, 'another client')
  // The user may take longer than the request_uri lives.
  issuer.clock.advance_s(600)
  const done = await visitor.signIn(page)
  const { body } = await issuer.token({ ...redemption, code: done.answer?.code ?? '' })
  t.equal(body.scope, 'data:write', 'what was pushed counts')
  t.match((await visitor.signIn(page)).answer, { code: /^gpc_/ }, 'a double click')
  issuer.clock.advance_s(6)
  const used = await visitor.signIn(page)
  t.match(used, { status: 400, form: null })
  t.match(used.html, '>Back to the application</a>')
  const { searchParams, origin, pathname } = new URL(used.failureLink ?? '')
  t.equal(origin + pathname, redirectUri)
  t.match(Object.fromEntries(searchParams), {
    error: 'invalid_request_uri',
    state: 'the state',
    iss: issuerUrl,
  })
  t.equal((await come(visitor)).status, 400)
  const { body: silent } = await push({ prompt: 'none' })
  const silently = `/oauth/authorize?${new URLSearchParams({ client_id: 'spa', ...silent })}`
  t.match((await visitor.get(silently)).answer, { code: /^gpc_/ })
  issuer.clock.advance_s(6)
  t.match((await visitor.get(silently)).answer, { error: 'invalid_request_uri' })

  t.match(await push({ redirect_uri: 'https://evil.example' }), {
    status: 400,
    body: { error: 'invalid_request' },
  })
  t.match(await push({ code_challenge_method: 'plain' }), {
    status: 400,
    body: { error: 'invalid_request' },
  })
  t.match(await push({ request_uri: 'urn:x' }), { status: 400 })
  t.match(await push({ client_id: 'backend' }), { status: 401, body: { error: 'invalid_client' } })
  t.comment('a proof binds the code, and the store receives no secret')
  const key = await makeProofKey()
  const bound = async (changes = {}) => {
    const iat = Math.floor(issuer.clock.nowMs() / 1000)
    const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/oauth/par`, iat })
    return issuer.post('/oauth/par')({ ...goodRequest, ...changes }, { dpop })
  }
  const stored: string[] = []
  const putOneTime = issuer.sessions.putOneTime.bind(issuer.sessions)
  issuer.sessions.putOneTime = (id, payload, expiresAtMs) => {
    stored.push(payload)
    return putOneTime(id, payload, expiresAtMs)
  }
  const otherKey = { dpop_jkt: (await makeProofKey()).jkt }
  t.match(await bound(otherKey), { status: 400, body: { error: 'invalid_dpop_proof' } })
  t.match(JSON.stringify(issuer.lines), 'its key is not that of dpop_jkt')
  t.equal((await bound({ dpop_jkt: key.jkt })).status, 201)
  t.equal((await bound()).status, 201)
  const secretive = { client_id: 'posting', client_secret: first.secret }
  t.equal((await push(secretive)).status, 201)
  t.same(
    stored.map((payload) => JSON.parse(payload)),
    [
      { ...goodRequest, dpop_jkt: key.jkt },
      { ...goodRequest, dpop_jkt: key.jkt },
      { ...goodRequest, client_id: 'posting' },
    ],
  )

  t.comment('a client that must push its requests')
  const asked = (client: (typeof clients)[number]) => client.client_id === 'spa'
  issuer.issuer.clients.replace(
    clients.map((one) => ({ ...one, require_pushed_authorization_requests: asked(one) })),
  )
  t.match((await visitor.authorize({ prompt: 'none' })).answer, {
    error: 'invalid_request',
    error_description: 'The client must push its requests.',
    state: 'the state',
  })
  const forced = new URLSearchParams({ client_id: 'spa', ...(await push()).body })
  t.match((await visitor.get(`/oauth/authorize?${forced}`)).answer, { code: /^gpc_/ })

  const late = await push()
  issuer.clock.advance_s(91)
  const query = new URLSearchParams({ client_id: 'spa', request_uri: late.body.request_uri })
  t.equal((await visitor.get(`/oauth/authorize?${query}`)).status, 400)
})

t.test('invented requests, forms and codes leave nothing behind', async (t) => {
  const issuer = await startOAuth(t, { logLevel: 'info' })
  const visitor = new Visitor(issuer)
  await visitor.authorize()
  const rows = () => issuer.sessions.removeExpired(Number.MAX_SAFE_INTEGER, 1)
  for (let index = 0; index < 400; index += 1) {
    const invented = `${index}`.padStart(44, 'x')
    const kind = index % 4
    const { status } = await (kind === 0
      ? visitor.get(
          `/oauth/authorize?client_id=spa&request_uri=urn:ietf:params:oauth:request_uri:gpp_${invented}`,
        )
      : kind === 1
        ? visitor.post('/oauth/sign-in', { interaction: `${invented}.${invented}` })
        : kind === 2
          ? visitor.authorize({ client_id: invented })
          : issuer.token({ ...redemption, code: `gpc_${invented}` }))
    if (status !== 400) t.equal(status, 400, `${index}`)
  }
  t.equal(await rows(), false)
})

t.test('pages are in German if the client or the browser asks for it', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize({ ui_locales: 'de-AT en' })
  t.match(page.html, /<html lang="de">/)
  t.match((await visitor.signIn(page, { password: 'x' })).html, 'das Passwort ist falsch')
  const failure = await visitor.get('/oauth/authorize', { 'accept-language': 'de' })
  t.match(failure.html, 'Die Anwendung ist hier nicht bekannt.')
  const unknown = await visitor.authorize({ client_id: 'unknown', ui_locales: 'de' })
  t.match(unknown.html, 'Die Anwendung ist hier nicht bekannt.')
})

t.test('without TLS, cookies have no prefix and the port in their names', async (t) => {
  const issuer = await startOAuth(t, { cookieSecure: false, cookieSuffix: '-4000' })
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  t.same([...visitor.cookies.keys()].sort(), [
    'gatepass-browser-4000',
    'gatepass-device-4000',
    'gatepass-sign-in-4000',
  ])
})

t.test('a request without a body, too long, or with a secret in its address fails', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  for (const url of ['/oauth/sign-in', '/oauth/consent', '/oauth/authorize', '/oauth/logout']) {
    const { statusCode } = await issuer.call({ method: 'POST', url })
    t.ok(statusCode < 500, `${url}: ${statusCode}`)
    const json = await issuer.call({ method: 'POST', url, payload: { interaction: 'x' } })
    t.equal(json.statusCode, 415)
    t.match(json.headers['content-type'], 'text/html')
  }
  const secret = await visitor.authorize({ client_secret: first.secret })
  t.match({ status: secret.status, answer: secret.answer }, { status: 400, answer: null })
  // The addresses of the pages could not carry these: a control character has six bytes in JSON.
  for (const state of ['x'.repeat(5_500), '\u20ac'.repeat(2_000), '\u0001'.repeat(1_000)]) {
    const long = `${new URLSearchParams(goodRequest)}&state2=${state}`
    t.match(await issuer.post('/oauth/par')(long), {
      status: 400,
      body: { error: 'invalid_request' },
    })
  }
  const longest = await visitor.authorize({ state: '"'.repeat(2_500) })
  const failed = await visitor.signIn(longest, { username: 'x'.repeat(1_000) })
  t.ok(failed.url.length < 8_100, 'a proxy accepts the address')
  t.match((await visitor.signIn(failed)).answer, { code: /^gpc_/ })
})

t.test('HEAD has no effect', async (t) => {
  const issuer = await startOAuth(t)
  for (const url of ['/oauth/authorize', '/oauth/sign-in', '/oauth/consent', '/oauth/logout']) {
    t.equal((await issuer.call({ method: 'HEAD', url })).statusCode, 405)
  }
})

t.test('an authorization request by POST is redirected to GET', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  const cookies = new Map(visitor.cookies)
  visitor.cookies.clear()
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://app.example.com' }
  const sent = await visitor.post('/oauth/authorize', goodRequest, headers)
  t.equal(sent.status, 303)
  for (const [name, value] of cookies) visitor.cookies.set(name, value)
  const { answer } = await visitor.get(String(sent.headers.location))
  t.match(answer, { url: redirectUri, code: /^gpc_/ })

  t.comment('a repeated parameter is reported to the client, as by GET')
  const twice = new URLSearchParams({ ...goodRequest, resource: 'a' })
  twice.append('resource', 'b')
  const { headers: again } = await visitor.post('/oauth/authorize', twice, headers)
  t.match((await visitor.get(String(again.location))).answer, {
    error: 'invalid_target',
    error_description: /one audience/,
  })
})

t.test('a pushed request is not used up if the store takes no code', async (t) => {
  const issuer = await startOAuth(t)
  const { body } = await issuer.post('/oauth/par')({ ...goodRequest })
  const visitor = new Visitor(issuer)
  const query = new URLSearchParams({ client_id: 'spa', request_uri: body.request_uri })
  const page = await visitor.get(`/oauth/authorize?${query}`)
  const { sessions } = issuer
  const { putOneTime } = sessions
  sessions.putOneTime = async (id, ...rest) => {
    if (id.startsWith('code.')) throw new GatepassError('store_unavailable')
    return putOneTime.call(sessions, id, ...rest)
  }
  const failed = await visitor.signIn(page)
  t.match(failed.html, 'The service is not available at the moment.')
  sessions.putOneTime = putOneTime
  issuer.clock.advance_s(10)
  t.match((await visitor.signIn(failed)).answer, { code: /^gpc_/ })
})

t.test('prompt=none without a store shows no page', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  await visitor.signIn(await visitor.authorize())
  const { sessions } = issuer
  const { find, putOneTime } = sessions
  const fail = async () => {
    throw new GatepassError('store_unavailable', { retryAfterSeconds: 2 })
  }
  for (const change of [{ find: fail }, { putOneTime: fail }]) {
    Object.assign(sessions, { find, putOneTime }, change)
    t.match((await visitor.authorize({ prompt: 'none' })).answer, {
      error: 'temporarily_unavailable',
      state: 'the state',
      iss: issuerUrl,
    })
    t.equal((await visitor.authorize()).status, 503, 'a user reads a page')
  }
  const crash = () => Promise.reject(new Error('an unforeseen error'))
  Object.assign(sessions, { find: crash, putOneTime })
  const broken = (await visitor.authorize({ prompt: 'none' })).answer
  t.match(broken, { error: 'server_error', state: 'the state' })
  t.notMatch(broken?.error_description, 'unforeseen')
  Object.assign(sessions, { find, putOneTime })
  t.match((await visitor.authorize({ prompt: 'none' })).answer, { code: /^gpc_/ })
})

t.test('while a store is unavailable the form can be sent again', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const page = await visitor.authorize()
  const { findByLoginName } = issuer.accounts
  issuer.accounts.findByLoginName = async () => {
    throw new GatepassError('store_unavailable', { retryAfterSeconds: 2 })
  }
  const failed = await visitor.signIn(page)
  t.match(failed.html, 'The service is not available at the moment.')
  t.notMatch(failed.html, 'aria-invalid', 'what the user typed is not wrong')
  issuer.accounts.findByLoginName = findByLoginName
  t.match((await visitor.signIn(failed)).answer, { code: /^gpc_/ })

  t.comment('the earlier sign-in of the browser cannot be ended')
  const again = await visitor.authorize({ prompt: 'login' })
  issuer.sessions.revoke = () => Promise.reject(new GatepassError('store_unavailable'))
  t.match((await visitor.signIn(again)).answer, { code: /^gpc_/ })
})
