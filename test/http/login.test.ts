import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import {
  type Deriver,
  HashProcessPool,
  PasswordHasher,
} from '../../src/issuer/passwords/password-hasher.ts'
import { cheapHashing } from '../support/hashing.ts'
import { audience, claimsOf, issuerUrl, password, startIssuer } from '../support/issuer.ts'

t.test('returns an access token of RFC 9068 and sets the refresh token as a cookie', async (t) => {
  const issuer = await startIssuer(t)
  const response = await issuer.login()
  t.equal(response.statusCode, 200)
  t.equal(response.headers['cache-control'], 'no-store')
  const body = response.json()
  t.match(body, { token_type: 'Bearer', expires_in: 300, scope: 'data:read', session_id: String })
  t.notOk('refresh_token' in body)

  const header = JSON.parse(Buffer.from(body.access_token.split('.')[0], 'base64url').toString())
  t.match(header, { typ: 'at+jwt', alg: 'ES256', kid: /^[\w-]{43}$/ })
  const now_s = Math.floor(issuer.clock.nowMs() / 1000)
  const { sub } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  t.same(Object.keys(claimsOf(body.access_token)).length, 12)
  t.match(claimsOf(body.access_token), {
    iss: issuerUrl,
    sub,
    aud: audience,
    exp: now_s + 300,
    iat: now_s,
    jti: /^[\w-]{22}$/,
    client_id: 'web',
    scope: 'data:read',
    sid: body.session_id,
    auth_time: now_s,
    acr: '1',
    amr: ['pwd'],
  })

  const [cookie] = response.cookies as unknown as Record<string, unknown>[]
  t.match(cookie, {
    name: '__Host-gatepass',
    value: /^gpr_/,
    path: '/',
    httpOnly: true,
    secure: true,
    sameSite: 'Strict',
    maxAge: 3600,
  })
  t.notOk(cookie?.domain)
})

t.test('returns the refresh token in the body on request', async (t) => {
  const issuer = await startIssuer(t)
  const response = await issuer.login({ refresh_token_in: 'body' })
  t.match(response.json(), { refresh_token: /^gpr_/, refresh_token_expires_in: 3600 })
  t.same(response.cookies, [])
})

t.test('I4: unknown name, wrong password and disabled account get the same response', async (t) => {
  const issuer = await startIssuer(t)
  await issuer.users.add({ loginName: 'eve', password })
  await issuer.users.disable('eve')
  const answers = await Promise.all(
    [
      { username: 'nobody' },
      { password: 'wrong password' },
      { username: 'eve' },
      { username: ' \u0000' },
    ].map(async (extra) => {
      const response = await issuer.login(extra)
      const { request_id: _, ...problem } = response.json()
      return { status: response.statusCode, problem, cookies: response.cookies }
    }),
  )
  for (const answer of answers) t.same(answer, answers[0])
  t.match(answers[0], { status: 401, problem: { code: 'credentials_invalid' } })
  t.same(answers[0]?.cookies, [])
  t.equal(issuer.audit().filter(({ event }) => event === 'login.failed').length, 4)
})

t.test('accepts a login name in any case and Unicode form', async (t) => {
  const issuer = await startIssuer(t)
  t.equal((await issuer.login({ username: 'ADA' })).statusCode, 200)
  t.equal((await issuer.login({ username: 'ＡＤＡ' })).statusCode, 200)
})

t.test('grants the requested scopes with their claims', async (t) => {
  const issuer = await startIssuer(t)
  const { access_token, scope } = await issuer.signIn({ scope: 'profile data:write profile' })
  t.equal(scope, 'profile data:write')
  t.match(claimsOf(access_token), { scope, name: 'Ada', roles: ['admin'] })
  t.notOk('secret_note' in claimsOf(access_token))
})

t.test('refuses a scope that the client may not request before it hashes', async (t) => {
  const issuer = await startIssuer(t)
  const response = await issuer.login({ scope: 'data:read admin' })
  t.equal(response.statusCode, 400)
  t.match(response.json(), { code: 'scope_not_allowed', detail: /admin/ })
})

t.test('a client has its own audience and scopes', async (t) => {
  const issuer = await startIssuer(t, {
    clients: [
      { client_id: 'web', scopes: { a: [] } },
      { client_id: 'app', audience: ['https://one', 'https://two'], scopes: { b: [], c: [] } },
    ],
  })
  const { access_token } = await issuer.signIn({ client_id: 'app' })
  t.match(claimsOf(access_token), {
    aud: ['https://one', 'https://two'],
    client_id: 'app',
    scope: 'b c',
  })
  t.match((await issuer.login({ client_id: 'none' })).json(), {
    status: 400,
    code: 'client_unknown',
  })
  issuer.issuer.clients.replace([{ client_id: 'shop', grants: ['authorization_code'], scopes: {} }])
  t.match((await issuer.login()).json(), {
    status: 400,
    code: 'client_unknown',
    detail: 'No client has the grant password.',
  })
})

t.test(
  'refuses to mint a token over the budget, says which claim, and leaves no session',
  async (t) => {
    const issuer = await startIssuer(t)
    await issuer.users.add({ loginName: 'max', password, attributes: { name: 'x'.repeat(5000) } })
    const response = await issuer.login({ username: 'max', scope: 'profile' })
    t.match(response.json(), { status: 500, code: 'token_too_large' })
    t.notMatch(response.body, /xxxx/)
    const logged = issuer.lines.find(({ code }) => code === 'token_too_large')
    t.match(JSON.stringify(logged), /name/)
    const { sub = '' } = (await issuer.accounts.findByLoginName('max')) ?? {}
    t.same(await issuer.sessions.listBySub(sub, issuer.clock.nowMs()), [])
  },
)

t.test('replaces a weak hash at login', async (t) => {
  const issuer = await startIssuer(t)
  const before = await issuer.accounts.findByLoginName('ada')
  // bcrypt of "U*U", the password of a published test vector.
  const bcrypt = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
  await issuer.accounts.setPasswordHash(before?.sub ?? '', bcrypt, 0)
  t.equal((await issuer.login({ password: 'U*U' })).statusCode, 200)
  const after = await issuer.accounts.findByLoginName('ada')
  t.match(after?.passwordHash, /^\$argon2id\$/)
  t.equal((await issuer.login({ password: 'U*U' })).statusCode, 200)
})

t.test('the log names the user whose hash has an unsupported format', async (t) => {
  const issuer = await startIssuer(t)
  const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  await issuer.accounts.setPasswordHash(sub, 'md5:abc', 0)
  const response = await issuer.login()
  t.match(response.json(), { status: 500, code: 'internal_error' })
  t.notMatch(response.body, sub)
  const line = issuer.lines.find(({ code }) => code === 'internal_error')
  t.match(JSON.stringify(line?.err), `user ${sub} is unusable. The scheme must be argon2id`)
  t.notMatch(JSON.stringify(line), 'md5')
})

t.test('a login whose hashing process dies can be repeated, and does not count', async (t) => {
  const lost = new GatepassError('overloaded', { cause: new Error('killed'), retryAfterSeconds: 1 })
  const pool = new HashProcessPool()
  let isLosing = false
  const deriver: Deriver = {
    derive: async (jobs) => (isLosing ? Promise.reject(lost) : pool.derive(jobs)),
    close: () => pool.close(),
  }
  const issuer = await startIssuer(t, {
    hasher: new PasswordHasher(cheapHashing, deriver),
  })
  isLosing = true
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const refused = await issuer.login({ password: 'wrong password' })
    t.match(refused, { statusCode: 503, headers: { 'retry-after': '1' } })
  }
  const logged = issuer.lines.find(({ code }) => code === 'overloaded')
  t.match(logged, { level: 50, err: { message: 'killed' } }, 'unlike a full queue, it is an error')
  isLosing = false
  t.equal((await issuer.login()).statusCode, 200)
})

t.test('a bcrypt hash stays while it proves only a part of the password', async (t) => {
  const issuer = await startIssuer(t)
  const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  // A published test vector.
  const start = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
  const bcrypt = '$2y$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui'
  await issuer.accounts.setPasswordHash(sub, bcrypt, 0)
  t.equal((await issuer.login({ password: `${start}mistyped` })).statusCode, 200)
  t.equal((await issuer.login({ password: `${start}right` })).statusCode, 200)
  t.equal((await issuer.accounts.findBySub(sub))?.passwordHash, bcrypt)
  t.equal((await issuer.login({ password: start })).statusCode, 200)
  t.match((await issuer.accounts.findBySub(sub))?.passwordHash, /^\$argon2id\$/)
})

t.test(
  'I6: past the queue a login gets 503 and Retry-After, and a refresh is served',
  async (t) => {
    const hasher = new PasswordHasher({ ...cheapHashing, maxConcurrent: 1, maxQueued: 2 })
    const issuer = await startIssuer(t, { hasher })
    const { refresh_token } = await issuer.signIn()
    const storm = Array.from({ length: 50 }, (_, n) => issuer.login({ username: `user-${n}` }))
    t.equal((await issuer.refresh(refresh_token)).statusCode, 200)
    const answers = await Promise.all(storm)
    const refused = answers.filter(({ statusCode }) => statusCode === 503)
    t.ok(refused.length > 0 && refused.length < 50)
    t.match(refused[0]?.json(), { code: 'overloaded' })
    t.match(refused[0]?.headers['retry-after'], /^[1-9]\d*$/)
    t.equal((await issuer.login()).statusCode, 200)
  },
)

t.test('I8: never adopts a session that the client sends', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token, session_id } = await issuer.signIn()
  const response = await issuer.call({
    method: 'POST',
    url: '/login',
    body: { username: 'ada', password },
    cookies: { '__Host-gatepass': refresh_token },
  })
  t.not(response.json().session_id, session_id)
})

for (const algorithm of ['ES256', 'Ed25519', 'RS256', 'PS256', 'ML-DSA-44'] as const) {
  t.test(`signs with ${algorithm}, and accepts its own token`, async (t) => {
    const issuer = await startIssuer(t, { algorithm })
    const { access_token } = await issuer.signIn()
    const response = await issuer.call({
      url: '/me',
      headers: { authorization: `Bearer ${access_token}` },
    })
    t.match(response.json(), { username: 'ada', attributes: { name: 'Ada' } })
  })
}
