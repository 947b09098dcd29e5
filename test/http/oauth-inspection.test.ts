import { randomBytes } from 'node:crypto'
import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { importEncryptionKey } from '../../src/tokens/encryption-key.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { makeEncryptionPair } from '../support/encryption.ts'
import {
  audience,
  bearer,
  claimsOf,
  issuerUrl,
  password,
  type TestIssuer,
} from '../support/issuer.ts'
import { backend, basic, billing, clients, startOAuth } from '../support/oauth.ts'

const inactive = { status: 200, body: { active: false } }

/** Signs in at the client `backend`, which may introspect its refresh token. */
async function signInAtBackend({ call }: Pick<TestIssuer, 'call'>) {
  const body = { username: 'ada', password, client_id: 'backend', refresh_token_in: 'body' }
  return (await call({ method: 'POST', url: '/login', body, headers: backend })).json()
}

t.test('a resource server introspects tokens of each kind', async (t) => {
  const { signIn, introspect, exchange, token } = await startOAuth(t)
  const { access_token } = await signIn()
  const { status, body, headers } = await introspect({ token: access_token }, billing)
  t.equal(status, 200)
  t.equal(headers['cache-control'], 'no-store')
  t.same(body, { ...claimsOf(access_token), active: true, token_type: 'Bearer' })

  const exchanged = (await exchange(access_token)).body.access_token
  t.match((await introspect({ token: exchanged }, billing)).body, {
    active: true,
    act: { sub: 'billing' },
  })
  const own = (await token({ grant_type: 'client_credentials' }, billing)).body.access_token
  t.match((await introspect({ token: own }, billing)).body, { active: true, sub: 'billing' })
})

t.test('a refresh token is active for its own client only', async (t) => {
  const { call, introspect, signIn } = await startOAuth(t)
  const { access_token, refresh_token } = await signInAtBackend({ call })
  t.match(
    (await introspect({ token: refresh_token, token_type_hint: 'access_token' }, backend)).body,
    {
      active: true,
      iss: issuerUrl,
      client_id: 'backend',
      scope: 'profile data:read data:write',
      sid: claimsOf(access_token).sid,
      sub: claimsOf(access_token).sub,
    },
  )
  const ofPublicClient = (await signIn()).refresh_token
  for (const token of [refresh_token, ofPublicClient]) {
    t.same((await introspect({ token }, billing)).body, { active: false })
  }
})

t.test('introspection requires client authentication', async (t) => {
  const { signIn, introspect } = await startOAuth(t)
  const { access_token } = await signIn()
  for (const [fields, headers] of [
    [{ token: access_token }, {}],
    [{ token: access_token, client_id: 'web' }, {}],
    [{ token: access_token, client_id: 'billing' }, {}],
    [{ token: access_token }, basic('billing', 'gps_wrong')],
    [{ token: access_token }, bearer(access_token)],
  ] as const) {
    t.match(await introspect(fields, headers), { status: 401, body: { error: 'invalid_client' } })
  }
  t.match(await introspect({}, billing), { status: 400, body: { error: 'invalid_request' } })
})

t.test('a foreign, expired or revoked token is inactive, and nothing else is said', async (t) => {
  const { introspect, call, clock, revocations, token, sessions, accounts } = await startOAuth(t)
  const signedOut = await signInAtBackend({ call })
  await call({ method: 'POST', url: '/logout', headers: bearer(signedOut.access_token) })
  for (const one of [
    signedOut.access_token,
    signedOut.refresh_token,
    'x',
    `gpr_${randomBytes(16).toString('base64url')}.0.${randomBytes(32).toString('base64url')}`,
    `${claimsOf(signedOut.access_token).sid}`,
  ]) {
    t.same((await introspect({ token: one }, backend)).body, { active: false })
  }
  const own = (await token({ grant_type: 'client_credentials' }, billing)).body.access_token
  t.match((await introspect({ token: own }, billing)).body, { active: true })
  await sessions.appendRevocation('all', '', clock.nowMs(), 300_000)
  await revocations.refreshNow()
  t.match(await introspect({ token: own }, billing), inactive, 'the revocation log says so')

  clock.advanceMs(2_000)
  const { access_token, refresh_token } = await signInAtBackend({ call })
  clock.advanceMs(400_000)
  t.match(await introspect({ token: access_token }, backend), inactive, 'it has expired')
  t.match((await introspect({ token: refresh_token }, backend)).body, { active: true })
  await token({ grant_type: 'refresh_token', refresh_token }, backend)
  t.match(await introspect({ token: refresh_token }, backend), inactive, 'it was replaced')

  const disabled = await signInAtBackend({ call })
  const { sub } = claimsOf(disabled.access_token)
  await accounts.setDisabled(`${sub}`, true, clock.nowMs())
  for (const one of [disabled.access_token, disabled.refresh_token]) {
    t.match(await introspect({ token: one }, backend), inactive, 'its account is disabled')
  }
  const service = (await token({ grant_type: 'client_credentials' }, billing)).body.access_token
  t.match((await introspect({ token: service }, billing)).body, { active: true })
})

t.test('encrypted and bound tokens can be introspected', async (t) => {
  const { publicJwk, privateJwk } = makeEncryptionPair('P-256', 'api')
  const imported = importEncryptionKey(publicJwk)
  if (!imported.ok) throw new Error(imported.reason)
  const { call, clock, introspect } = await startOAuth(t, {
    encryptionKeys: new Map([[audience, imported.key]]),
    decryptionKeys: [privateJwk],
    clients: clients.map((client) => ({ ...client, audience })) as [(typeof clients)[0]],
  })
  const key = await makeProofKey()
  const iat = Math.floor(clock.nowMs() / 1000)
  const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/login`, iat })
  const body = { username: 'ada', password: 'correct horse battery staple' }
  const login = await call({ method: 'POST', url: '/login', headers: { dpop }, body })
  const { access_token } = login.json()
  t.equal(access_token.split('.').length, 5)
  t.match((await introspect({ token: access_token }, billing)).body, {
    active: true,
    token_type: 'DPoP',
    cnf: { jkt: key.jkt },
  })
})

t.test('a client revokes a token of its own, and its session ends', async (t) => {
  const { signIn, revoke, refresh, introspect, audit } = await startOAuth(t)
  for (const kind of ['access_token', 'refresh_token'] as const) {
    const tokens = await signIn()
    const { status, body } = await revoke({ token: tokens[kind], client_id: 'web' })
    t.same({ status, body }, { status: 200, body: {} }, kind)
    t.match(await introspect({ token: tokens.access_token }, billing), inactive)
    t.match((await refresh(tokens.refresh_token)).json(), { code: 'refresh_token_revoked' })
    t.match(
      audit().findLast(({ event }) => event === 'logout'),
      { sid: tokens.session_id },
    )
    t.equal((await revoke({ token: tokens[kind], client_id: 'web' })).status, 200, 'once more')
  }
  t.equal((await revoke({ token: 'nonsense', client_id: 'web' })).status, 200)
})

t.test('however many sessions have ended, the token of a live session is active', async (t) => {
  const { clock, sessions, revocations, signIn, introspect, revoke, refresh } = await startOAuth(t)
  const { access_token, refresh_token } = await signIn()
  clock.advance_s(1)
  const [atMs, expiresAtMs] = [clock.nowMs(), clock.nowMs() + 300_000]
  sessions.revocationsAfter = async (position, limit) => {
    const count = Math.min(limit, 150_000 - Number(position))
    return Array.from({ length: count }, (_, n) => {
      const next = Number(position) + n + 1
      return { position: `${next}`, kind: 'session', id: `${next}`, atMs, expiresAtMs }
    })
  }
  await revocations.refreshNow()
  t.equal(revocations.entriesAfter().length, 150_000)
  t.match((await introspect({ token: access_token }, billing)).body, { active: true })
  t.equal((await revoke({ token: access_token, client_id: 'web' })).status, 200)
  t.equal((await refresh(refresh_token)).json().code, 'refresh_token_revoked')
})

t.test('revoking an encrypted token is a success only if its session ends', async (t) => {
  const { publicJwk, privateJwk } = makeEncryptionPair('P-256', 'api')
  const imported = importEncryptionKey(publicJwk)
  if (!imported.ok) throw new Error(imported.reason)
  const encryptionKeys = new Map([[audience, imported.key]])
  const other = makeEncryptionPair('P-256', 'other').privateJwk
  for (const decryptionKeys of [undefined, [other]]) {
    const { signIn, revoke, refresh } = await startOAuth(t, {
      encryptionKeys,
      ...(decryptionKeys && { decryptionKeys }),
    })
    const { access_token, refresh_token } = await signIn()
    t.match(await revoke({ token: access_token, client_id: 'web' }), {
      status: 400,
      body: { error: 'unsupported_token_type' },
    })
    t.equal((await revoke({ token: refresh_token, client_id: 'web' })).status, 200)
    t.equal((await refresh(refresh_token)).statusCode, 401)
  }
  const { signIn, revoke, refresh } = await startOAuth(t, {
    encryptionKeys,
    decryptionKeys: [privateJwk],
  })
  const { access_token, refresh_token } = await signIn()
  for (const time of ['first', 'second']) {
    t.equal((await revoke({ token: access_token, client_id: 'web' })).status, 200, time)
  }
  t.equal((await refresh(refresh_token)).statusCode, 401)
})

t.test('a client revokes no token of another client, and no token without a session', async (t) => {
  const { signIn, revoke, exchange, token, introspect, sessions } = await startOAuth(t)
  const { access_token, refresh_token } = await signIn()
  for (const one of [access_token, refresh_token]) {
    t.match(await revoke({ token: one }, billing), {
      status: 400,
      body: { error: 'invalid_grant', error_description: /another client/ },
    })
    t.match(await revoke({ token: one }), { status: 401, body: { error: 'invalid_client' } })
  }
  const exchanged = (await exchange(access_token)).body.access_token
  const own = (await token({ grant_type: 'client_credentials' }, billing)).body.access_token
  for (const one of [exchanged, own]) {
    t.match(await revoke({ token: one }, billing), {
      status: 400,
      body: { error: 'unsupported_token_type' },
    })
  }
  t.match((await introspect({ token: access_token }, billing)).body, { active: true })

  t.comment('a store that fails does not make a token inactive')
  sessions.find = () => Promise.reject(new GatepassError('store_unavailable'))
  for (const one of [access_token, refresh_token]) {
    t.equal((await introspect({ token: one }, billing)).status, 503)
    t.equal((await revoke({ token: one, client_id: 'web' })).status, 503)
  }
})
