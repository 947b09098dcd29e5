import t, { type Test } from 'tap'
import { makeProof, makeProofKey, type ProofParts } from '../support/dpop.ts'
import { issuerUrl, password } from '../support/issuer.ts'
import {
  assertionType,
  basic,
  clients,
  first,
  makeAssertion,
  startOAuth,
} from '../support/oauth.ts'
import { goodRequest, redemption, Visitor } from '../support/visitor.ts'

/** RFC 9449 §8 and §9: an issuer that requires its nonce in each proof. */

const key = await makeProofKey()
const app = 'https://app.example.com'

async function start(t: Test, dpopNonces: true | Buffer = true) {
  const issuer = await startOAuth(t, { dpopNonces, allowedOrigins: [app] })
  /** Calls with a proof, which has the nonce if there is one. */
  const call = async (path: string, nonce?: string, more: CallParts = {}) => {
    const { method = 'POST', token, headers, ...body } = more
    const claims = nonce === undefined ? {} : { nonce }
    const parts: ProofParts = { htm: method, iat: Math.floor(issuer.clock.nowMs() / 1000), claims }
    const response = await issuer.call({
      method,
      url: path,
      headers: {
        dpop: await makeProof(key, {
          htu: `${issuerUrl}${path}`,
          ...parts,
          ...(token && { token }),
        }),
        ...(token && { authorization: `DPoP ${token}` }),
        ...headers,
      },
      ...body,
    })
    const next = response.headers['dpop-nonce']
    return {
      response,
      status: response.statusCode,
      next: String(next),
      body: jsonOf(response.body),
    }
  }
  /** Gets a nonce, then signs in by it. */
  const signIn = async () => {
    const { next } = await call('/login', undefined, login)
    return call('/login', next, login)
  }
  return { issuer, call, signIn }
}

interface CallParts {
  readonly method?: 'GET' | 'POST'
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly payload?: string | object
}

function jsonOf(text: string) {
  return text === '' ? null : JSON.parse(text)
}

const login = { payload: { username: 'ada', password, refresh_token_in: 'body' } }
const form = (fields: Record<string, string>, headers: Record<string, string> = {}) => ({
  payload: new URLSearchParams(fields).toString(),
  headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
})
const asBilling = basic('billing', first.secret)
const asSigning = async (nowSeconds: number) => ({
  grant_type: 'client_credentials',
  client_assertion: await makeAssertion(nowSeconds),
  client_assertion_type: assertionType,
})

t.test('/login and /refresh ask for a nonce, and give the next one with the tokens', async (t) => {
  const { issuer, call } = await start(t)
  const asked = await call('/login', undefined, login)
  t.match(asked, { status: 401, body: { code: 'use_dpop_nonce' }, next: /^[\w-]{43}$/ })
  t.match(
    asked.response.headers['www-authenticate'],
    /^DPoP error="use_dpop_nonce", .*algs="ES256 /,
  )
  t.equal(issuer.audit().length, 0, 'before any look at the password')
  const signedIn = await call('/login', asked.next, login)
  t.match(signedIn, { status: 200, body: { token_type: 'DPoP' }, next: asked.next })
  const refresh = { payload: { refresh_token: signedIn.body.refresh_token } }
  issuer.clock.advance_s(60)
  t.match(await call('/refresh', undefined, refresh), {
    status: 401,
    body: { code: 'use_dpop_nonce' },
  })
  t.equal((await call('/refresh', asked.next, refresh)).status, 200)
  t.equal(issuer.audit().filter(({ event }) => event === 'refresh.refused').length, 0)
})

t.test('the OAuth endpoints answer 400, as RFC 9449 §8 says', async (t) => {
  const { issuer, call } = await start(t)
  const nowSeconds = Math.floor(issuer.clock.nowMs() / 1000)
  const pushed = { ...goodRequest, client_id: 'spa' }
  for (const [path, parts, status] of [
    ['/oauth/token', form({ grant_type: 'client_credentials' }, asBilling), 200],
    ['/oauth/token', form(await asSigning(nowSeconds)), 200],
    ['/oauth/par', form(pushed), 201],
  ] as const) {
    const asked = await call(path, undefined, parts)
    t.match(asked, { status: 400, body: { error: 'use_dpop_nonce' }, next: /^[\w-]{43}$/ }, path)
    t.equal(asked.response.headers['www-authenticate'], undefined)
    t.match(await call(path, asked.next, parts), { status, next: asked.next }, path)
  }
})

t.test('a request without a nonce uses up no code', async (t) => {
  const { issuer, call } = await start(t)
  const visitor = new Visitor(issuer)
  const { answer } = await visitor.signIn(await visitor.authorize({ scope: 'openid' }))
  const parts = form({ ...redemption, code: answer?.code ?? '' })
  const asked = await call('/oauth/token', undefined, parts)
  t.match(asked.body, { error: 'use_dpop_nonce' })
  t.match(await call('/oauth/token', asked.next, parts), { status: 200, body: { id_token: /./ } })
})

t.test("the issuer's own routes require a nonce too", async (t) => {
  const { call, signIn } = await start(t)
  const { body, next } = await signIn()
  const token: string = body.access_token
  for (const [method, path, status] of [
    ['GET', '/me', 200],
    ['GET', '/sessions', 200],
    ['POST', '/logout', 204],
  ] as const) {
    const asked = await call(path, undefined, { method, token })
    t.match(asked, { status: 401, body: { code: 'use_dpop_nonce' }, next }, path)
    t.match(asked.response.headers['www-authenticate'], /^DPoP error="use_dpop_nonce"/, path)
    t.match(await call(path, next, { method, token }), { status, next }, path)
  }
})

t.test('a nonce that is old, of the future, forged or of another issuer is refused', async (t) => {
  const { issuer, call } = await start(t)
  const stranger = await start(t, Buffer.from('the secret of an issuer that is not this one'))
  const { next: now } = await call('/login', undefined, login)
  issuer.clock.advance_s(600)
  const { next: future } = await call('/login', undefined, login)
  const { next: foreign } = await stranger.call('/login', undefined, login)
  issuer.clock.advance_s(-300)
  for (const nonce of [now, future, foreign, 'forged', '']) {
    t.match(await call('/login', nonce, login), { status: 401, body: { code: 'use_dpop_nonce' } })
  }
  const { next } = await call('/login', undefined, login)
  issuer.clock.advance_s(120)
  const late = await call('/login', next, login)
  t.equal(late.status, 200, 'the last one is accepted')
  t.not(late.next, next, 'and the response has the newest')
})

t.test('a proof with a nonce is used once', async (t) => {
  const { issuer, call } = await start(t)
  const { next } = await call('/login', undefined, login)
  const iat = Math.floor(issuer.clock.nowMs() / 1000)
  const claims = { nonce: next }
  const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/login`, iat, claims })
  const again = () =>
    issuer.call({ method: 'POST', url: '/login', headers: { dpop }, body: login.payload })
  t.equal((await again()).statusCode, 200)
  t.match((await again()).json(), { code: 'dpop_proof_replayed' })
})

t.test('a request without a proof gets no nonce, and a page can read its nonce', async (t) => {
  const { issuer, call } = await start(t)
  const bearer = await issuer.login()
  t.equal(bearer.statusCode, 200)
  t.equal(bearer.headers['dpop-nonce'], undefined)
  const asked = await call('/login', undefined, { ...login, headers: { origin: app } })
  t.match(asked.response.headers['access-control-expose-headers'], /dpop-nonce/)
  const { headers } = form({})
  const fromElsewhere = { ...headers, origin: 'https://elsewhere.example' }
  const token = await call('/oauth/token', undefined, {
    ...form({ grant_type: 'client_credentials' }, asBilling),
    headers: { ...fromElsewhere, ...asBilling },
  })
  t.match(token.response.headers['access-control-expose-headers'], /dpop-nonce/)
})

t.test('without the setting a nonce is ignored', async (t) => {
  const issuer = await startOAuth(t, { clients })
  const iat = Math.floor(issuer.clock.nowMs() / 1000)
  for (const nonce of ['of somebody', '', 7]) {
    const parts = { htm: 'POST', htu: `${issuerUrl}/login`, iat, claims: { nonce } }
    const headers = { dpop: await makeProof(key, parts) }
    const response = await issuer.call({
      method: 'POST',
      url: '/login',
      headers,
      body: login.payload,
    })
    t.equal(response.statusCode, 200)
    t.equal(response.headers['dpop-nonce'], undefined)
  }
})
