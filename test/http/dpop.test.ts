import t, { type Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { RefreshTokenCodec } from '../../src/tokens/refresh-token.ts'
import { makeProof, makeProofKey, type ProofKey, type ProofParts } from '../support/dpop.ts'
import {
  bearer,
  claimsOf,
  issuerUrl,
  password,
  startIssuer,
  type TestIssuerOptions,
  webClient,
} from '../support/issuer.ts'
import { session } from '../support/sessions.ts'

const key = await makeProofKey()
const otherKey = await makeProofKey()

interface Tokens {
  readonly access_token: string
  readonly token_type: string
  readonly refresh_token: string
  readonly session_id: string
}

/** An issuer, and a client that has keys. */
async function start(t: Test, options: TestIssuerOptions = {}) {
  const issuer = await startIssuer(t, options)
  const prove = (path: string, parts: ProofParts = {}, by: ProofKey = key) => {
    const iat = Math.floor(issuer.clock.nowMs() / 1000)
    return makeProof(by, { htm: 'POST', htu: `${issuerUrl}${path}`, iat, ...parts })
  }
  const login = (headers: Record<string, string> = {}, extra: Record<string, unknown> = {}) =>
    issuer.call({
      method: 'POST',
      url: '/login',
      headers,
      body: { username: 'ada', password, refresh_token_in: 'body', ...extra },
    })
  const signIn = async (): Promise<Tokens> => (await login({ dpop: await prove('/login') })).json()
  const get = async (token: string, parts: ProofParts = {}, by = key, path = '/me') =>
    issuer.call({
      url: path,
      headers: {
        authorization: `DPoP ${token}`,
        dpop: await prove(path, { htm: 'GET', token, ...parts }, by),
      },
    })
  return { issuer, prove, login, signIn, get }
}

t.test('a login with a proof binds the tokens to its key', async (t) => {
  const { issuer, login, prove } = await start(t)
  const response = await login({ dpop: await prove('/login') })
  t.equal(response.statusCode, 200)
  const { token_type, access_token, session_id } = response.json<Tokens>()
  t.equal(token_type, 'DPoP')
  t.same(claimsOf(access_token).cnf, { jkt: key.jkt })
  t.equal((await issuer.sessions.find(session_id, issuer.clock.nowMs()))?.jkt, key.jkt)
})

t.test('a login without a proof issues bearer tokens', async (t) => {
  const { issuer, login } = await start(t)
  const { token_type, access_token, refresh_token } = (await login()).json<Tokens>()
  t.equal(token_type, 'Bearer')
  t.equal(claimsOf(access_token).cnf, undefined)
  const next = (await issuer.refresh(refresh_token)).json<Tokens>()
  t.equal(next.token_type, 'Bearer')
})

t.test('a login with an invalid proof is refused', async (t) => {
  const { issuer, login, prove } = await start(t)
  const used = await prove('/login')
  await login({ dpop: used })
  const old_s = Math.floor(issuer.clock.nowMs() / 1000) - 61
  for (const [dpop, code] of [
    ['', 'dpop_proof_invalid'],
    ['rubbish', 'dpop_proof_invalid'],
    ['x'.repeat(9000), 'dpop_proof_invalid'],
    [await prove('/refresh'), 'dpop_proof_invalid'],
    [await prove('/login', { htm: 'GET' }), 'dpop_proof_invalid'],
    [await prove('/login', { htu: 'http://localhost/login' }), 'dpop_proof_invalid'],
    [await prove('/login', { iat: old_s }), 'dpop_proof_invalid'],
    [await prove('/login', { header: { jwk: key.privateJwk } }), 'dpop_proof_invalid'],
    [`${await prove('/login')}, ${await prove('/login')}`, 'dpop_proof_invalid'],
    [used, 'dpop_proof_replayed'],
  ] as const) {
    const response = await login({ dpop, host: 'localhost' })
    t.match({ status: response.statusCode, ...response.json() }, { status: 401, code })
    t.match(
      response.headers['www-authenticate'],
      /^DPoP error="invalid_dpop_proof", .*algs="ES256 /,
    )
  }
  t.equal(issuer.audit().filter(({ event }) => event === 'login.ok').length, 1)
})

t.test('a bound session is refreshed only with a proof of its key', async (t) => {
  const { issuer, signIn, prove } = await start(t)
  const { refresh_token, session_id } = await signIn()
  issuer.clock.advance_s(60)
  const before = await issuer.sessions.find(session_id, issuer.clock.nowMs())
  for (const [headers, code] of [
    [{}, 'dpop_proof_missing'],
    [{ dpop: await prove('/refresh', {}, otherKey) }, 'dpop_proof_invalid'],
    [{ dpop: await prove('/login') }, 'dpop_proof_invalid'],
  ] as const) {
    const response = await issuer.refresh(refresh_token, headers)
    t.match({ status: response.statusCode, ...response.json() }, { status: 401, code })
  }
  t.same(await issuer.sessions.find(session_id, issuer.clock.nowMs()), before, 'as it was')
  const refused = issuer.audit().filter(({ event }) => event === 'refresh.refused')
  t.same(
    refused.map(({ reason }) => reason),
    ['unproven', 'unproven'],
    'not for a proof of another request',
  )

  const response = await issuer.refresh(refresh_token, { dpop: await prove('/refresh') })
  t.equal(response.statusCode, 200)
  const next = response.json<Tokens>()
  t.equal(next.token_type, 'DPoP')
  t.same(claimsOf(next.access_token).cnf, { jkt: key.jkt })
  t.not(next.refresh_token, refresh_token)
})

t.test('an old stolen refresh token ends nothing without the key', async (t) => {
  const { issuer, signIn, prove } = await start(t)
  const { refresh_token } = await signIn()
  let newest = refresh_token
  for (let n = 0; n < 3; n += 1) {
    issuer.clock.advance_s(60)
    newest = (await issuer.refresh(newest, { dpop: await prove('/refresh') })).json().refresh_token
  }
  t.equal((await issuer.refresh(refresh_token)).json().code, 'dpop_proof_missing')
  issuer.clock.advance_s(60)
  t.equal((await issuer.refresh(newest, { dpop: await prove('/refresh') })).statusCode, 200)
  // With the key it is the client's own mistake, or that of somebody who has all of it.
  const reused = await issuer.refresh(refresh_token, { dpop: await prove('/refresh') })
  t.equal(reused.json().code, 'refresh_token_reused')
})

t.test('an unbound session stays unbound when a refresh binds its access token', async (t) => {
  const { issuer, login, prove } = await start(t)
  const { refresh_token, session_id } = (await login()).json<Tokens>()
  issuer.clock.advance_s(60)
  const bound = (await issuer.refresh(refresh_token, { dpop: await prove('/refresh') })).json()
  t.equal(bound.token_type, 'DPoP')
  t.same(claimsOf(bound.access_token).cnf, { jkt: key.jkt })
  t.equal((await issuer.sessions.find(session_id, issuer.clock.nowMs()))?.jkt, null)
  issuer.clock.advance_s(60)
  t.equal((await issuer.refresh(bound.refresh_token)).json().token_type, 'Bearer')
})

t.test("the issuer's own routes hold a bound token to its key", async (t) => {
  const { issuer, signIn, login, get, prove } = await start(t)
  const { access_token } = await signIn()
  t.equal((await get(access_token)).statusCode, 200)
  t.equal((await get(access_token, {}, key, '/sessions?x=1')).statusCode, 200)

  const asBearer = await issuer.call({ url: '/me', headers: bearer(access_token) })
  t.match(asBearer.json(), { code: 'dpop_proof_missing' })
  const withProof = await issuer.call({
    url: '/me',
    headers: {
      ...bearer(access_token),
      dpop: await prove('/me', { htm: 'GET', token: access_token }),
    },
  })
  t.match(withProof.json(), { code: 'dpop_proof_missing' }, 'a bearer token it is not')
  t.match((await get(access_token, {}, otherKey)).json(), { code: 'dpop_proof_invalid' })
  t.match((await get(access_token, { htm: 'POST' })).json(), { code: 'dpop_proof_invalid' })
  t.match((await get(access_token, { token: 'x' })).json(), { code: 'dpop_proof_invalid' })
  t.match((await get(access_token, { htu: `${issuerUrl}/sessions` })).json(), {
    code: 'dpop_proof_invalid',
  })

  const unbound = (await login()).json<Tokens>().access_token
  const refused = await get(unbound)
  t.match(refused.json(), { code: 'token_unbound' })
  t.match(
    refused.headers['www-authenticate'],
    /^DPoP error="invalid_token", error_description="token_unbound", algs="/,
  )
})

t.test('signing out with a bound token needs its proof', async (t) => {
  const { issuer, signIn, prove } = await start(t)
  const { access_token: token, session_id } = await signIn()
  const logout = (headers: Record<string, string>) =>
    issuer.call({ method: 'POST', url: '/logout', headers })
  t.equal((await logout(bearer(token))).statusCode, 401)
  t.ok(await issuer.sessions.find(session_id, issuer.clock.nowMs()))
  const authorization = `DPoP ${token}`
  const dpop = await prove('/logout', { token })
  t.equal((await logout({ authorization, dpop })).statusCode, 204)
  t.equal(await issuer.sessions.find(session_id, issuer.clock.nowMs()), null)
})

t.test('a client that requires a key gets no tokens without a proof', async (t) => {
  const { issuer, login, prove } = await start(t, { clients: [{ ...webClient, dpop: 'required' }] })
  t.match((await login()).json(), { code: 'dpop_proof_missing' })
  t.equal(issuer.audit().length, 0, 'before any look at the password')
  const response = await login({ dpop: await prove('/login') })
  t.equal(response.statusCode, 200)
})

t.test('such a client is audited if its refresh token comes without a proof', async (t) => {
  const { issuer, signIn } = await start(t, { clients: [{ ...webClient, dpop: 'required' }] })
  const { refresh_token, session_id } = await signIn()
  t.match((await issuer.refresh(refresh_token)).json(), { code: 'dpop_proof_missing' })
  const refused = issuer.audit().filter(({ event }) => event === 'refresh.refused')
  t.match(refused, [{ sid: session_id, client_id: 'web', reason: 'unproven' }])
  t.equal(refused.length, 1)
})

t.test('an older session of such a client is not refreshed without a proof', async (t) => {
  const { issuer, prove } = await start(t, { clients: [{ ...webClient, dpop: 'required' }] })
  const nowMs = issuer.clock.nowMs()
  const sub = (await issuer.accounts.findByLoginName('ada'))?.sub ?? ''
  const one = session({ sid: randomId(), sub, createdAtMs: nowMs, mintedAtMs: nowMs })
  await issuer.sessions.create(one)
  const secret = Buffer.from('a test secret of at least 32 characters')
  const refreshToken = new RefreshTokenCodec([secret]).mint(one)
  const refused = await issuer.refresh(refreshToken)
  t.match(
    { status: refused.statusCode, ...refused.json() },
    {
      status: 401,
      code: 'dpop_proof_missing',
    },
  )
  const response = await issuer.refresh(refreshToken, { dpop: await prove('/refresh') })
  t.equal(response.json().token_type, 'DPoP', 'it is soon enough to ask again with one')
})

t.test('metadata, CORS and OpenAPI mention DPoP', async (t) => {
  const { issuer } = await start(t, { allowedOrigins: ['https://app.example.com'] })
  const metadata = await issuer.call({ url: '/.well-known/oauth-authorization-server' })
  t.match(metadata.json().dpop_signing_alg_values_supported, ['ES256', 'Ed25519'])
  const preflight = await issuer.call({
    method: 'OPTIONS',
    url: '/login',
    headers: {
      origin: 'https://app.example.com',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'dpop',
    },
  })
  t.match(preflight.headers['access-control-allow-headers'], 'dpop')
  const { components, paths } = (await issuer.call({ url: '/openapi.json' })).json()
  t.match(components.securitySchemes.dpop, { type: 'http', scheme: 'dpop' })
  t.match(paths['/login'].post.parameters, [{ in: 'header', name: 'dpop', required: false }])
})
