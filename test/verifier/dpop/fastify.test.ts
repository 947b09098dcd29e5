import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import { type DpopOptions, gatepassAuth } from '../../../src/verifier/fastify.ts'
import { FakeClock } from '../../support/clock.ts'
import { makeProof, makeProofKey, type ProofParts } from '../../support/dpop.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'

const signingKey = makeKey('ES256')
const key = await makeProofKey()
const unbound = mint(signingKey)
const bound = mint(signingKey, { payload: claimsWith({ cnf: { jkt: key.jkt } }) })

async function start(t: Test, options: DpopOptions = {}, trustProxy = false) {
  const app = Fastify({ trustProxy })
  t.teardown(() => app.close())
  app.setErrorHandler((error, _request, reply) =>
    isGatepassError(error)
      ? reply.code(error.status).send({ code: error.code })
      : reply.code(500).send(error),
  )
  const jwks = { keys: [signingKey.publicJwk] }
  const clock = new FakeClock(now_s * 1000)
  await app.register(gatepassAuth, { issuer, audience, jwks, clock, ...options })
  app.all('/orders', (request) => ({ sub: request.auth?.sub }))
  app.get('/bank', { config: { auth: { dpop: true } } }, (request) => ({ sub: request.auth?.sub }))
  app.get('/pay', { config: { auth: { dpop: true, scope: 'pay' } } }, () => 'ok')
  const call = async (
    token: string,
    {
      path = '/orders',
      scheme = 'DPoP',
      headers = {},
      ...parts
    }: ProofParts & {
      path?: string
      scheme?: string
      headers?: Record<string, string>
    } = {},
  ) => {
    const htu = `http://api.test${path}`
    const dpop = await makeProof(key, { htu, iat: now_s, token, ...parts })
    const authorization = `${scheme} ${token}`
    return app.inject({
      url: path,
      headers: { host: 'api.test', authorization, dpop, ...headers },
    })
  }
  return { app, call }
}

t.test('accepts a DPoP token for the target that Fastify sees', async (t) => {
  const { call } = await start(t)
  t.equal((await call(bound)).statusCode, 200)
  t.equal((await call(bound, { path: '/orders?page=2' })).statusCode, 200)
  t.equal((await call(bound, { scheme: 'dpop' })).statusCode, 200)
  for (const parts of [
    { htm: 'POST' },
    { htu: 'http://api.test/bank' },
    { htu: 'https://api.test/orders' },
    { headers: { host: 'evil.test' } },
    { headers: { 'x-forwarded-host': 'evil.test' }, htu: 'http://evil.test/orders' },
    { headers: { 'x-forwarded-proto': 'https' }, htu: 'https://api.test/orders' },
  ]) {
    const response = await call(bound, parts)
    t.match({ ...response.json() }, { code: 'dpop_proof_invalid' }, JSON.stringify(parts))
    t.match(
      response.headers['www-authenticate'],
      'DPoP error="invalid_dpop_proof", error_description="dpop_proof_invalid", algs="ES256 Ed25519 RS256 PS256 ML-DSA-44"',
    )
  }
})

t.test('the same proof works once', async (t) => {
  const { app } = await start(t)
  const dpop = await makeProof(key, { htu: 'http://api.test/orders', iat: now_s, token: bound })
  const headers = { host: 'api.test', authorization: `DPoP ${bound}`, dpop }
  t.equal((await app.inject({ url: '/orders', headers })).statusCode, 200)
  const again = await app.inject({ url: '/orders', headers })
  t.match(
    { status: again.statusCode, ...again.json() },
    { status: 401, code: 'dpop_proof_replayed' },
  )
})

t.test('a bound token is no bearer token, and the reverse', async (t) => {
  const { app, call } = await start(t)
  t.match((await call(bound, { scheme: 'Bearer' })).json(), { code: 'dpop_proof_missing' })
  t.match((await call(unbound)).json(), { code: 'token_unbound' })
  const headers = { host: 'api.test', authorization: `DPoP ${bound}` }
  const bare = await app.inject({ url: '/orders', headers })
  t.match(bare.json(), { code: 'dpop_proof_missing' })
  t.match(bare.headers['www-authenticate'], /^DPoP error=/)
  const wrong = await app.inject({ url: '/orders', headers: { authorization: 'DPoP x.y.z' } })
  t.match(wrong.headers['www-authenticate'], /^DPoP error="invalid_token", .* algs="ES256 /)
})

t.test('a route can require tokens that are bound to a key', async (t) => {
  const { app, call } = await start(t)
  t.equal((await call(bound, { path: '/bank' })).statusCode, 200)
  const refused = await call(unbound, { path: '/bank', scheme: 'Bearer' })
  t.match(refused.json(), { code: 'token_unbound' })
  t.match(refused.headers['www-authenticate'], /^DPoP error="invalid_token"/)
  const { headers } = await app.inject('/bank')
  t.match(headers['www-authenticate'], /^DPoP algs="ES256 /)
  t.match((await call(bound, { path: '/pay' })).json(), { code: 'scope_insufficient' })
  const open = await app.inject({ url: '/orders', headers: { authorization: `Bearer ${unbound}` } })
  t.equal(open.statusCode, 200)
})

t.test('publicUrl takes precedence over the headers', async (t) => {
  const { call } = await start(t, { publicUrl: 'https://api.example.com/v1/' }, true)
  const htu = 'https://api.example.com/v1/orders'
  t.equal((await call(bound, { htu })).statusCode, 200)
  const headers = { 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'http' }
  t.equal((await call(bound, { htu, headers })).statusCode, 200)
  const forged = await call(bound, { htu: 'http://evil.test/orders', headers })
  t.match(forged.json(), { code: 'dpop_proof_invalid' })
})

t.test('X-Forwarded headers of a trusted proxy count', async (t) => {
  const { call } = await start(t, {}, true)
  const headers = { 'x-forwarded-host': 'shop.test', 'x-forwarded-proto': 'https' }
  t.equal((await call(bound, { htu: 'https://shop.test/orders', headers })).statusCode, 200)
})

t.test('refuses invalid options and requirements', async (t) => {
  for (const publicUrl of [
    '',
    '/a',
    'ftp://api.test',
    'https://api.test/?a',
    'https://a@api.test',
  ]) {
    await t.rejects(start(t, { publicUrl }), { code: 'config_invalid' })
  }
  const requestTarget = 'https://api.test' as never
  await t.rejects(start(t, { requestTarget }), { code: 'config_invalid', message: /requestTarget/ })
  const app = Fastify()
  t.teardown(() => app.close())
  const jwks = { keys: [signingKey.publicJwk] }
  await app.register(gatepassAuth, { issuer, audience, jwks })
  const dpop = 'required' as never
  t.throws(() => app.get('/', { config: { auth: { dpop } } }, () => ''), { code: 'config_invalid' })
})
