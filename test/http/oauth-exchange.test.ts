import t from 'tap'
import type { Account } from '../../src/stores/ports.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/account-store.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { audience, bearer, claimsOf, issuerUrl } from '../support/issuer.ts'
import {
  accessTokenUrn,
  basic,
  billing,
  clientKey,
  makeAssertion,
  reports,
  startOAuth,
} from '../support/oauth.ts'

const invalid = (error: string) => ({ status: 400, body: { error } })

t.test('a service exchanges the token of a user for one for another audience', async (t) => {
  const { signIn, exchange, clock, audit } = await startOAuth(t)
  const { access_token, session_id } = await signIn({ scope: 'profile data:read data:write' })
  clock.advanceMs(100_000)
  const { status, body } = await exchange(access_token, { scope: 'profile data:read' })
  t.equal(status, 200)
  t.match(body, {
    issued_token_type: accessTokenUrn,
    token_type: 'Bearer',
    expires_in: 200,
    scope: 'profile data:read',
  })
  t.notOk('refresh_token' in body)
  const [subject, claims] = [claimsOf(access_token), claimsOf(body.access_token)]
  t.match(claims, {
    aud: reports,
    sub: subject.sub,
    sid: session_id,
    exp: subject.exp,
    auth_time: subject.auth_time,
    acr: '1',
    amr: ['pwd'],
    client_id: 'billing',
    act: { sub: 'billing' },
    name: 'Ada',
  })
  t.notOk('roles' in claims, 'attributes go by the scopes of the service')
  t.not(claims.jti, subject.jti)
  t.match(audit().at(-1), { event: 'token.exchanged', sid: session_id, client_id: 'billing' })
})

t.test('the chain of services is named, and ends with the session', async (t) => {
  const { signIn, exchange, clock, call, token: grant } = await startOAuth(t)
  const { access_token } = await signIn()
  const one = await exchange(access_token)
  const client_assertion = await makeAssertion(Math.floor(clock.nowMs() / 1000))
  const two = await exchange(
    one.body.access_token,
    {
      audience,
      client_assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    },
    {},
  )
  t.match(claimsOf(two.body.access_token), {
    aud: audience,
    act: { sub: 'signing', act: { sub: 'billing' } },
  })

  t.comment('neither a service, nor one that acts for the user, has the account of the user')
  const own = await grant({ grant_type: 'client_credentials' }, billing)
  for (const [method, url] of [
    ['GET', '/me'],
    ['POST', '/logout'],
    ['POST', '/logout/all'],
  ] as const) {
    for (const token of [two.body.access_token, own.body.access_token]) {
      const response = await call({ method, url, headers: bearer(token) })
      t.match(response.json(), { code: 'token_claims', detail: /of a service/ }, url)
    }
  }

  await call({ method: 'POST', url: '/logout', headers: bearer(access_token) })
  t.match(await exchange(one.body.access_token), invalid('invalid_request'))
  t.match(await exchange(access_token), invalid('invalid_request'))
})

t.test('at most eight services pass a token on', async (t) => {
  const { signIn, exchange, lines } = await startOAuth(t)
  let { access_token } = await signIn()
  for (let depth = 0; depth < 8; depth += 1) {
    access_token = (await exchange(access_token)).body.access_token
  }
  t.match(await exchange(access_token), invalid('invalid_request'))
  t.match(
    lines.at(-2),
    { msg: 'refused', err: { message: /too many services/ } },
    'the log says why',
  )
})

t.test('an exchange widens no scope, audience, user or lifetime', async (t) => {
  const { signIn, exchange, introspect, token, clock } = await startOAuth(t)
  const { access_token } = await signIn({ scope: 'data:read' })
  for (const scope of ['data:read data:write', ' ']) {
    t.match(await exchange(access_token, { scope }), invalid('invalid_scope'), scope)
  }
  t.match(await exchange(access_token, { audience }), invalid('invalid_target'))
  const unnamed = await exchange(access_token, { audience: '' })
  t.match(unnamed, invalid('invalid_request'))
  t.equal(unnamed.body.error_description, 'The parameter audience or resource is required.')
  t.match(await exchange(access_token, { resource: audience }), invalid('invalid_target'))
  t.match(await exchange(access_token, { resource: reports, audience }), invalid('invalid_target'))
  t.equal((await exchange(access_token, { resource: reports })).status, 200)
  t.match(await exchange(access_token, { actor_token: access_token }), invalid('invalid_request'))
  t.match(
    await exchange(access_token, { subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }),
    invalid('invalid_request'),
  )
  t.match(
    await exchange(access_token, {
      requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token',
    }),
    invalid('invalid_request'),
  )

  t.comment('the token of a service is no token of a user')
  const own = await token({ grant_type: 'client_credentials' }, billing)
  t.match(await exchange(own.body.access_token), invalid('invalid_request'))
  t.match(await exchange('not.a.token'), invalid('invalid_request'))

  t.comment('nor does a client without the grant get one')
  t.match(await exchange(access_token, { client_id: 'web' }, {}), invalid('unauthorized_client'))
  t.match(await exchange(access_token, {}, basic('billing', 'gps_x')), { status: 401 })

  clock.advanceMs(299_000)
  t.match(await exchange(access_token), { status: 200, body: { expires_in: 1 } })
  clock.advanceMs(1_000)
  t.match(await exchange(access_token), invalid('invalid_request'), 'it has expired')
  t.same((await introspect({ token: access_token }, billing)).body, { active: false })
})

t.test('a bound token never becomes a bearer token', async (t) => {
  const { call, clock, exchange } = await startOAuth(t)
  const iat = Math.floor(clock.nowMs() / 1000)
  const user = await makeProofKey()
  const htm = 'POST'
  const login = await call({
    method: 'POST',
    url: '/login',
    headers: { dpop: await makeProof(user, { htm, htu: `${issuerUrl}/login`, iat }) },
    body: { username: 'ada', password: 'correct horse battery staple' },
  })
  const { access_token } = login.json()
  t.match(await exchange(access_token), invalid('invalid_dpop_proof'))
  const dpop = await makeProof(clientKey, { htm, htu: `${issuerUrl}/oauth/token`, iat })
  const { body } = await exchange(access_token, {}, { ...billing, dpop })
  t.equal(body.token_type, 'DPoP')
  t.same(claimsOf(body.access_token).cnf, { jkt: clientKey.jkt })
})

/** Runs a step while an exchange looks at the account. */
class Accounts extends SqliteAccountStore {
  afterFind = async () => {}

  override async findBySub(sub: string): Promise<Account | null> {
    const account = await super.findBySub(sub)
    await this.afterFind()
    return account
  }
}

t.test(
  'a sign-out of all sessions while the account is looked at ends the new token',
  async (t) => {
    const accounts = new Accounts(':memory:')
    const { call, clock, signIn, exchange, revocations } = await startOAuth(t, { accounts })
    const { access_token } = await signIn()
    accounts.afterFind = async () => {
      accounts.afterFind = async () => {}
      const request = { method: 'POST', url: '/logout/all', headers: bearer(access_token) } as const
      t.equal((await call(request)).statusCode, 204)
      clock.advance_s(1)
    }
    const { status, body } = await exchange(access_token)
    t.equal(status, 200)
    t.equal(body.expires_in, 299)
    const { sub, iat } = claimsOf(body.access_token)
    t.ok(Number(iat) <= revocations.revokedUntilSeconds(String(sub)))
  },
)

t.test('the token of a disabled user is not exchanged', async (t) => {
  const { signIn, exchange, users } = await startOAuth(t)
  const { access_token } = await signIn()
  await users.disable('ada')
  t.match(await exchange(access_token), invalid('invalid_request'))
})
