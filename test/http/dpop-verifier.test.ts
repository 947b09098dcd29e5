import t, { type Test } from 'tap'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { FakeClock } from '../support/clock.ts'
import { makeProof, makeProofKey, type ProofParts } from '../support/dpop.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../support/tokens.ts'
import { openVerifierApp } from '../support/verifier-app.ts'

const signingKey = makeKey('ES256')
const key = await makeProofKey()
const bound = mint(signingKey, { payload: claimsWith({ cnf: { jkt: key.jkt } }) })
const unbound = mint(signingKey)

const proxy = '10.1.2.3'
const htu = 'https://shop.test/orders/7'
/** The headers of a proxy for `POST https://shop.test/orders/7?full`. */
const forwarded = {
  'x-forwarded-method': 'POST',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'shop.test',
  'x-forwarded-uri': '/orders/7?full',
}

function start(t: Test, options: { trustedProxies?: readonly string[]; publicUrl?: string }) {
  const jwks = { keys: [signingKey.publicJwk] }
  const verifier = createVerifier({ issuer, audience, jwks, clock: new FakeClock(now_s * 1000) })
  const { trustedProxies = [], publicUrl } = options
  const app = openVerifierApp(t, verifier, { service: { trustedProxies }, publicUrl })
  return async (
    headers: Record<string, string> = {},
    parts: ProofParts = {},
    { url = '/verify', remoteAddress = proxy, token = bound } = {},
  ) => {
    const dpop = await makeProof(key, { htm: 'POST', htu, iat: now_s, token, ...parts })
    const authorization = `DPoP ${token}`
    return app.inject({ url, remoteAddress, headers: { authorization, dpop, ...headers } })
  }
}

t.test('a proof covers the request that a trusted proxy describes', async (t) => {
  const call = start(t, { trustedProxies: ['10.0.0.0/8', '2001:db8::/32'] })
  const response = await call(forwarded)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['x-auth-subject'], 'user-1')
  for (const remoteAddress of ['2001:db8::7', '::ffff:10.9.9.9']) {
    t.equal((await call(forwarded, {}, { remoteAddress })).statusCode, 200, remoteAddress)
  }
  for (const parts of [{ htm: 'GET' }, { htu: 'https://shop.test/orders/8' }, { token: unbound }]) {
    const refused = await call(forwarded, parts)
    t.match(refused.json(), { status: 401, code: 'dpop_proof_invalid' })
    t.match(refused.headers['www-authenticate'], /^DPoP error="invalid_dpop_proof"/)
  }
})

t.test('the headers of an untrusted peer are ignored', async (t) => {
  for (const [trustedProxies, remoteAddress] of [
    [['10.0.0.0/8'], '192.0.2.1'],
    [['10.0.0.0/8'], '::ffff:192.0.2.1'],
    [[], proxy],
    [[], '127.0.0.1'],
  ] as const) {
    const call = start(t, { trustedProxies })
    const refused = await call(forwarded, {}, { remoteAddress })
    t.match(refused.json(), { code: 'dpop_proof_invalid' })
    // The request at hand counts instead.
    const headers = { ...forwarded, host: 'gatepass:4100' }
    const parts = { htm: 'GET', htu: 'http://gatepass:4100/verify' }
    t.equal((await call(headers, parts, { remoteAddress })).statusCode, 200)
  }
})

t.test('a missing or repeated header of the proxy refuses the proof', async (t) => {
  const call = start(t, { trustedProxies: [proxy] })
  for (const name of Object.keys(forwarded) as (keyof typeof forwarded)[]) {
    const { [name]: value, ...others } = forwarded
    t.match((await call(others)).json(), { code: 'dpop_proof_invalid' }, `no ${name}`)
    const twice = { ...others, [name]: `${value}, ${value}` }
    t.match((await call(twice)).json(), { code: 'dpop_proof_invalid' }, `${name} twice`)
  }
  for (const [uri, htu] of [
    ['.evil.test/', 'https://shop.test.evil.test/'],
    ['@evil.test/', 'https://evil.test/'],
    ['orders', 'https://shop.test/orders'],
  ] as const) {
    const refused = await call({ ...forwarded, 'x-forwarded-uri': uri }, { htu })
    t.match(refused.json(), { code: 'dpop_proof_invalid' }, uri)
  }
})

t.test('with a public URL the proxy describes only method and path', async (t) => {
  const call = start(t, { trustedProxies: [proxy], publicUrl: 'https://shop.test' })
  const { 'x-forwarded-method': method, 'x-forwarded-uri': uri } = forwarded
  const few = { 'x-forwarded-method': method, 'x-forwarded-uri': uri }
  t.equal((await call(few)).statusCode, 200)
  const forged = { ...forwarded, 'x-forwarded-host': 'evil.test' }
  t.equal((await call(forged)).statusCode, 200)
  const refused = await call(forged, { htu: 'https://evil.test/orders/7' })
  t.match(refused.json(), { code: 'dpop_proof_invalid' })
})

t.test('a proof that a proxy sends twice is a replay', async (t) => {
  const call = start(t, { trustedProxies: [proxy] })
  const dpop = await makeProof(key, { htm: 'POST', htu, iat: now_s, token: bound })
  t.equal((await call({ ...forwarded, dpop })).statusCode, 200)
  t.match((await call({ ...forwarded, dpop })).json(), { code: 'dpop_proof_replayed' })
})

t.test('a proof works once more after a refusal for a missing scope', async (t) => {
  const call = start(t, { trustedProxies: [proxy] })
  const dpop = await makeProof(key, { htm: 'POST', htu, iat: now_s, token: bound })
  const ask = (url: string) => call({ ...forwarded, dpop }, {}, { url })
  t.match((await ask('/verify?scope=admin')).json(), { code: 'scope_insufficient' })
  t.equal((await ask('/verify')).statusCode, 200)
  t.match((await ask('/verify')).json(), { code: 'dpop_proof_replayed' })
  t.match((await ask('/verify?scope=admin')).json(), { code: 'scope_insufficient' })
})

t.test('/whoami takes a bound token, and a missing scope is a DPoP challenge', async (t) => {
  const call = start(t, { publicUrl: 'https://auth.shop.test' })
  const whoami = { htm: 'GET', htu: 'https://auth.shop.test/whoami' }
  const response = await call({}, whoami, { url: '/whoami' })
  t.match(response.json(), { sub: 'user-1', cnf: { jkt: key.jkt } })
  const verify = { htm: 'GET', htu: 'https://auth.shop.test/verify' }
  const refused = await call({}, verify, { url: '/verify?scope=admin' })
  t.equal(refused.statusCode, 403)
  t.match(refused.headers['www-authenticate'], 'DPoP error="insufficient_scope", scope="admin"')
  t.match((await call({}, verify, { token: unbound })).json(), { code: 'token_unbound' })
})
