import Fastify from 'fastify'
import t from 'tap'
import { gatepassAuth } from '../../../src/verifier/fastify.ts'
import { createVerifier } from '../../../src/verifier/index.ts'
import { claimsWith, mint, now_s } from '../../support/tokens.ts'
import { openVerifierApp } from '../../support/verifier-app.ts'
import { keyOf, openHarness, options } from '../harness.ts'

const key = keyOf('ES256')
const authorization = `Bearer ${mint(key)}`
const forged = {
  'x-auth-subject': 'admin',
  x_auth_subject: 'admin',
  'X-Auth-Scope': 'admin',
  'x-auth-session': 'admin',
  'x-auth-client': 'admin',
  'x-forwarded-user': 'admin',
  'x-forwarded-for': '127.0.0.1',
  'x-forwarded-host': 'admin',
  'x-forwarded-uri': '/admin',
  'x-original-url': '/admin',
  forwarded: 'for=127.0.0.1;host=admin',
}

t.test('A24: forged headers open nothing, and none comes back', async (t) => {
  const service = openVerifierApp(t, createVerifier(options))
  const plugin = Fastify()
  await plugin.register(gatepassAuth, options)
  plugin.get('/verify', (request) => request.auth)
  t.teardown(() => plugin.close())
  for (const app of [service, plugin]) {
    const refused = await app.inject({ url: '/verify', headers: forged })
    t.equal(refused.statusCode, 401)
    t.notMatch(JSON.stringify([refused.headers, refused.body]), /admin/)
    const passed = await app.inject({ url: '/verify', headers: { ...forged, authorization } })
    t.equal(passed.statusCode, 200)
    t.notMatch(JSON.stringify([passed.headers, passed.body]), /admin/)
  }
})

t.test('A24: the headers that the service gives are those of the token', async (t) => {
  const service = openVerifierApp(t, createVerifier(options))
  for (const headers of [{ authorization }, { ...forged, authorization }]) {
    const response = await service.inject({ url: '/verify', headers })
    const given = Object.entries(response.headers).filter(([name]) => /^x[-_]/.test(name))
    t.match(Object.fromEntries(given), {
      'x-auth-subject': 'user-1',
      'x-auth-session': 'session-1',
      'x-auth-scope': 'orders:read profile',
      'x-auth-client': 'web',
    })
    t.notOk(given.some(([name]) => name.includes('_')))
  }
  const line = { sub: 'ada\r\nX-Auth-Scope: admin', scope: undefined, sid: undefined }
  const broken = `Bearer ${mint(key, { payload: claimsWith(line) })}`
  const response = await service.inject({ url: '/verify', headers: { authorization: broken } })
  t.equal(response.headers['x-auth-subject'], 'ada%0D%0AX-Auth-Scope: admin')
  t.equal(response.headers['x-auth-scope'], '', 'said, so that a forged one is replaced')
})

t.test('A24: two credentials, or one in another place, are not one', async (t) => {
  const service = openVerifierApp(t, createVerifier(options))
  const token = mint(key)
  const others = [
    { authorization: `Bearer ${token}, Bearer ${token}` },
    { authorization: `Bearer ${token} ${token}` },
    { authorization: `Basic ${token}` },
    { authorization: token },
    { 'proxy-authorization': `Bearer ${token}` },
    { 'x-forwarded-authorization': `Bearer ${token}` },
    { cookie: `authorization=${token}; access_token=${token}` },
  ]
  for (const headers of others) {
    const response = await service.inject({ url: `/verify`, headers })
    t.equal(response.statusCode, 401, JSON.stringify(Object.keys(headers)))
  }
  const inQuery = await service.inject({ url: `/verify?access_token=${token}` })
  t.not(inQuery.statusCode, 200)
})

t.test('A27: the issuer is the configured one, whatever the Host header says', async (t) => {
  const service = openVerifierApp(t, createVerifier(options))
  const payload = claimsWith({ iss: 'https://thief.test' })
  const headers = { host: 'thief.test', 'x-forwarded-host': 'thief.test' }
  const other = `Bearer ${mint(key, { payload })}`
  const refused = await service.inject({
    url: '/verify',
    headers: { ...headers, authorization: other },
  })
  t.equal(refused.json().code, 'token_claims')
  const passed = await service.inject({ url: '/verify', headers: { ...headers, authorization } })
  t.equal(passed.statusCode, 200)
})

t.test('A28: of iat and nbf the later counts', async (t) => {
  const expect = await openHarness(t, { clockToleranceSeconds: 5 })
  const token = (iat: number, nbf?: number) =>
    mint(key, { payload: claimsWith({ iat: now_s + iat, nbf: nbf && now_s + nbf }) })
  await expect(token(0, -60), 'accepted')
  await expect(token(-60, 5), 'accepted', 'within the tolerance')
  await expect(token(5, -60), 'accepted')
  await expect(token(-60, 6), 'token_not_yet_valid')
  await expect(token(6, -60), 'token_not_yet_valid')
  await expect(token(6), 'token_not_yet_valid')
  await expect(token(60, 60), 'token_not_yet_valid')
})
