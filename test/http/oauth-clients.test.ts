import { createHmac, createPublicKey, randomUUID } from 'node:crypto'
import t from 'tap'
import type { Client } from '../../src/issuer/clients.ts'
import { createClientSecret } from '../../src/oauth/client-secret.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { makeProofKey } from '../support/dpop.ts'
import { claimsOf, issuerUrl } from '../support/issuer.ts'
import {
  type AssertionParts,
  assertionType,
  basic,
  billing,
  clientKey,
  clients,
  first,
  makeAssertion,
  startOAuth,
} from '../support/oauth.ts'
import { encode } from '../support/tokens.ts'
import { redemption, signInThrough, Visitor } from '../support/visitor.ts'
import { JwksServer, respond } from '../verifier/jwks-server.ts'

const grant = { grant_type: 'client_credentials' }
const refused = { status: 401, body: { error: 'invalid_client' } }
/** After a few failures, the next one has to wait. */
const refusedOrThrottled = { status: /401|429/, body: { error: /invalid_client|unavailable/ } }

const tokenRequest = (client_assertion: string) => ({
  ...grant,
  client_assertion,
  client_assertion_type: assertionType,
})

/** Returns a function that asks for a token with a new assertion each time. */
function sender({ token, clock }: Pick<Awaited<ReturnType<typeof startOAuth>>, 'token' | 'clock'>) {
  return async (parts?: AssertionParts) =>
    token(tokenRequest(await makeAssertion(Math.floor(clock.nowMs() / 1000), parts)))
}

/** Publishes these keys of a client. */
const publish = (...keys: object[]) => respond(200, JSON.stringify({ keys }))

/** A client whose keys are at an address. */
const signingWith = ({ issuer }: JwksServer): Client => ({
  client_id: 'signing',
  auth_method: 'private_key_jwt',
  jwks_uri: `${issuer}/jwks.json`,
  grants: ['client_credentials'],
  scopes: {},
})

async function startSigning(t: Parameters<typeof startOAuth>[0]) {
  const issuer = await startOAuth(t)
  const now = () => Math.floor(issuer.clock.nowMs() / 1000)
  const send = (assertion: string, fields = {}) =>
    issuer.token({ ...tokenRequest(assertion), ...fields })
  const make = (parts?: AssertionParts) => makeAssertion(now(), parts)
  return { ...issuer, now, send, make }
}

t.test('an assertion authenticates its client, once', async (t) => {
  const { send, make } = await startSigning(t)
  const assertion = await make()
  t.equal((await send(assertion)).status, 200)
  t.match(await send(assertion), refused, 'a replay')
  t.equal((await send(await make(), { client_id: 'signing' })).status, 200)
  t.equal((await send(await make({ claims: { aud: [issuerUrl] } }))).status, 200)
})

t.test('an assertion that two replicas get at once is accepted by one', async (t) => {
  const one = await startSigning(t)
  const two = await startOAuth(t, {
    sessions: new SqliteSessionStore(one.sessionsPath),
  })
  two.clock.advanceMs(one.clock.nowMs() - two.clock.nowMs())
  for (let round = 0; round < 10; round += 1) {
    const fields = tokenRequest(await one.make())
    const answers = await Promise.all([one, two, one, two].map(({ token }) => token(fields)))
    t.equal(answers.filter(({ status }) => status === 200).length, 1)
  }
})

t.test('an assertion for or from somebody else, or of another time, is refused', async (t) => {
  const { send, make, now } = await startSigning(t)
  const other = (await makeProofKey()).privateKey
  const bad: Record<string, AssertionParts> = {
    'the token endpoint as aud': { claims: { aud: `${issuerUrl}/oauth/token` } },
    'two audiences': { claims: { aud: [issuerUrl, 'https://other.example'] } },
    'no aud': { claims: { aud: undefined } },
    'another issuer': { claims: { iss: 'billing' } },
    'another subject': { claims: { sub: 'billing' } },
    'an unknown subject': { claims: { iss: 'nobody', sub: 'nobody' } },
    expired: { claims: { exp: now() - 6 } },
    'without exp': { claims: { exp: undefined } },
    'exp as a text': { claims: { exp: '99999999999' } },
    'too long a life': { claims: { exp: now() + 3_600 } },
    'from the future': { claims: { iat: now() + 60 } },
    'not yet valid': { claims: { nbf: now() + 60 } },
    'without jti': { claims: { jti: undefined } },
    'too long a jti': { claims: { jti: 'x'.repeat(257) } },
    'an access token': { header: { typ: 'at+jwt' } },
    'a DPoP proof': { header: { typ: 'dpop+jwt' } },
    'an unknown kid': { header: { kid: 'client-2' } },
    'no kid': { header: { kid: undefined } },
    'another key': { key: other },
    'its own key in the header': {
      key: other,
      header: { jwk: (await makeProofKey()).publicJwk, jku: 'https://evil.example/jwks' },
    },
  }
  for (const [name, parts] of Object.entries(bad)) {
    t.match(await send(await make(parts)), refusedOrThrottled, name)
  }
  t.match(
    await send(await make(), { client_id: 'billing' }),
    refusedOrThrottled,
    'another client_id',
  )
  t.match(
    await send(await make(), { client_assertion_type: 'jwt' }),
    refusedOrThrottled,
    'another type',
  )
  t.match(await send('x.y.z'), refusedOrThrottled, 'no JWT')
})

t.test('algorithm confusion is refused', async (t) => {
  const { send, now } = await startSigning(t)
  const spki = createPublicKey({ key: clientKey.jwk as object, format: 'jwk' } as never)
  const secrets = [
    spki.export({ type: 'spki', format: 'pem' }),
    JSON.stringify(clientKey.jwk),
    String(clientKey.jwk.x),
    '',
  ]
  const claims = {
    iss: 'signing',
    sub: 'signing',
    aud: issuerUrl,
    exp: now() + 60,
    jti: randomUUID(),
  }
  for (const alg of ['none', 'NONE', 'HS256', 'HS512', 'RS256', 'Ed25519', 'ES512']) {
    for (const secret of secrets) {
      const input = `${encode({ alg, kid: 'client-1' })}.${encode(claims)}`
      const mac = createHmac('sha256', secret).update(input).digest('base64url')
      t.match(
        await send(`${input}.${alg.toLowerCase() === 'none' ? '' : mac}`),
        refusedOrThrottled,
        alg,
      )
    }
  }
})

t.test('wrong secrets are throttled; the right one never waits', async (t) => {
  const { token, audit } = await startOAuth(t)
  const wrong = () => token(grant, basic('billing', createClientSecret().secret))
  for (let attempt = 0; attempt < 5; attempt += 1) t.match(await wrong(), refused)
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await wrong()).status))
  t.ok(statuses.filter((status) => status === 429).length >= 18, statuses.join())
  const { status, headers, body } = await wrong()
  t.match({ status, body }, { status: 429, body: { error: 'temporarily_unavailable' } })
  t.ok(Number(headers['retry-after']) >= 1)
  t.equal((await token(grant, billing)).status, 200)
  t.match(audit()[0], { event: 'client.refused', client_id: 'billing', network: '127.0.0.1/32' })
  t.ok(audit().length < 12, 'what has to wait is not logged')
})

t.test('failures of clients count apart from those of users', async (t) => {
  const { token, login } = await startOAuth(t)
  for (let attempt = 0; attempt < 120; attempt += 1) {
    await token(grant, basic(`client-${attempt}`, 'x'))
  }
  t.equal((await token(grant, basic('another', 'x'))).status, 429)
  t.equal((await login()).statusCode, 200)
})

t.test('2,000 invented clients, codes and tokens get 4xx and leave nothing behind', async (t) => {
  const { token, introspect, audit } = await startOAuth(t, { logLevel: 'info' })
  const code = { grant_type: 'authorization_code', code_verifier: 'v'.repeat(43) }
  const random = () => randomUUID().replaceAll('-', '')
  const requests = [
    () => token({ ...grant, client_id: random() }),
    () => token(grant, basic(random(), random())),
    () => token({ ...code, client_id: 'spa', code: `gpc_${random()}${random().slice(0, 12)}` }),
    () => introspect({ token: random() }, basic('billing', random())),
  ]
  const statuses = new Set<number>()
  for (let round = 0; round < 50; round += 1) {
    const batch = Array.from({ length: 40 }, (_, at) => requests[at % requests.length]?.())
    for (const answer of await Promise.all(batch)) statuses.add(answer?.status ?? 0)
  }
  t.same([...statuses].sort(), [400, 401, 429])
  t.ok(audit().length < 400, `${audit().length} lines of the audit log`)
})

t.test('the clients can be replaced while the issuer runs', async (t) => {
  const { token, issuer, signIn, refresh, call } = await startOAuth(t)
  const { refresh_token } = await signIn()
  const replaced = createClientSecret()
  issuer.clients.replace([
    ...clients.filter(({ client_id }) => client_id === 'web'),
    {
      client_id: 'billing',
      auth_method: 'client_secret_basic',
      secret_hashes: [replaced.hash],
      grants: ['client_credentials'],
      scopes: { 'new:scope': [] },
    },
  ])
  t.match(await token(grant, basic('billing', first.secret)), refused)
  t.match(await token(grant, basic('billing', replaced.secret)), {
    status: 200,
    body: { scope: 'new:scope' },
  })
  t.equal((await refresh(refresh_token)).statusCode, 200)
  const metadata = await call({ url: '/.well-known/oauth-authorization-server' })
  t.ok(metadata.json().scopes_supported.includes('new:scope'))
})

t.test('a request for the metadata does not collect the scopes of all clients', async (t) => {
  const { issuer, call } = await startOAuth(t)
  let reads = 0
  const client = {
    client_id: 'web',
    get scopes() {
      reads += 1
      return { 'orders:read': ['roles'] }
    },
  }
  issuer.clients.replace([client])
  const readsAtReload = reads
  const metadata = (await call({ url: '/.well-known/openid-configuration' })).json()
  t.same(metadata.scopes_supported, ['openid', 'orders:read'])
  t.ok(metadata.claims_supported.includes('roles'))
  t.equal(reads, readsAtReload, 'anybody may ask often, and there may be 1,000 clients')
})

t.test('a refresh gives no scope that was removed from its client', async (t) => {
  const issuer = await startOAuth(t)
  const scope = 'openid profile data:read data:write'
  const tokens = await signInThrough(issuer, new Visitor(issuer), { scope })
  issuer.clock.advance_s(60)
  const narrowed = { 'data:read': [] }
  issuer.issuer.clients.replace(
    clients.map((client) =>
      client.client_id === 'spa' ? { ...client, scopes: narrowed } : client,
    ),
  )
  const refresh = (refresh_token = '', changes = {}) =>
    issuer.token({ grant_type: 'refresh_token', client_id: 'spa', refresh_token, ...changes })
  t.match(await refresh(tokens.refresh_token, { scope: 'data:write' }), {
    status: 400,
    body: { error: 'invalid_scope' },
  })
  t.comment('many clients send the scope of the sign-in in each refresh')
  t.match(await refresh(tokens.refresh_token, { scope }), {
    status: 200,
    body: { scope: 'openid data:read' },
  })
  const { body } = await refresh(tokens.refresh_token)
  t.equal(body.scope, 'openid data:read')
  t.equal(claimsOf(body.access_token).scope, 'openid data:read')

  t.comment('the session keeps its scope, so a wrong setting can be taken back')
  issuer.issuer.clients.replace(clients)
  issuer.clock.advance_s(60)
  t.equal((await refresh(body.refresh_token)).body.scope, scope)
})

t.test('a code gives no scope that was removed from its client since', async (t) => {
  const issuer = await startOAuth(t)
  const visitor = new Visitor(issuer)
  const scope = 'openid profile data:read'
  const { answer } = await visitor.signIn(await visitor.authorize({ scope }))
  issuer.issuer.clients.replace(
    clients.map((client) =>
      client.client_id === 'spa' ? { ...client, scopes: { 'data:read': [] } } : client,
    ),
  )
  const { body } = await issuer.token({ ...redemption, code: answer?.code ?? '' })
  t.equal(body.scope, 'openid data:read')
  t.match(claimsOf(body.access_token), { scope: 'openid data:read' })
  t.match(body, { id_token: /./ })
})

t.test('the sessions of a client that was removed from the settings get no tokens', async (t) => {
  const issuer = await startOAuth(t)
  const ofUser = await signInThrough(issuer, new Visitor(issuer), { client_id: 'backend' })
  const { refresh_token } = await issuer.signIn()
  issuer.issuer.clients.replace(clients.filter(({ client_id }) => client_id === 'spa'))
  t.comment('also without the authentication that the client had')
  for (const token of [ofUser.refresh_token ?? '', refresh_token]) {
    t.match((await issuer.refresh(token)).json(), { status: 400, code: 'client_unknown' })
  }
  t.match(issuer.audit().at(-1), { event: 'refresh.refused', reason: 'client_unknown' })
  t.comment('another client, which has authenticated, has the token of another')
  const grant = { grant_type: 'refresh_token', client_id: 'spa' }
  t.match(await issuer.token({ ...grant, refresh_token }), { body: { error: 'invalid_grant' } })
  t.match(issuer.audit().at(-1), { event: 'refresh.refused', reason: 'wrong_client' })
  t.comment('until it is there again')
  issuer.issuer.clients.replace(clients)
  t.equal((await issuer.refresh(refresh_token)).statusCode, 200)
})

t.test(
  'keys that a client publishes are fetched, and fetched again when they change',
  async (t) => {
    const [old, next] = [clientKey, await makeProofKey()]
    const server = await JwksServer.open(t, publish(old.jwk))
    const { token, clock } = await startOAuth(t, { clients: [signingWith(server)] })
    const send = sender({ token, clock })
    t.equal((await send()).status, 200)
    t.equal((await send()).status, 200)
    t.equal(server.requests, 1)

    t.comment('unknown ids make few fetches')
    for (let n = 0; n < 10; n += 1) {
      t.match(await send({ header: { kid: `unknown-${n}` } }), refusedOrThrottled)
    }
    t.ok(server.requests <= 2, `${server.requests} requests`)

    t.comment('a new key is found; a key that is gone is refused')
    server.answer = publish({ ...next.publicJwk, kid: 'client-2', alg: next.alg })
    clock.advanceMs(60_000)
    const rotated = await send({ header: { kid: 'client-2' }, key: next.privateKey })
    t.equal(rotated.status, 200)
    t.match(await send(), refusedOrThrottled)
  },
)

t.test('the last keys of a client outlast a reload of the clients', async (t) => {
  const server = await JwksServer.open(t, publish(clientKey.jwk))
  const signing = signingWith(server)
  const { token, clock, issuer } = await startOAuth(t, { clients: [signing] })
  const send = sender({ token, clock })
  t.equal((await send()).status, 200)
  server.answer = respond(500, '')
  issuer.clients.replace([{ ...signing, scopes: { 'data:read': [] } }])
  t.match(await send(), { status: 200, body: { scope: 'data:read' } })
  t.comment('keys of another address are other keys')
  issuer.clients.replace([{ ...signing, jwks_uri: `${server.issuer}/others.json` }])
  t.equal((await send()).status, 503)
})

t.test('a client that is removed from the settings loses its fetched keys', async (t) => {
  const server = await JwksServer.open(t, publish(clientKey.jwk))
  const signing = signingWith(server)
  const { token, clock, issuer } = await startOAuth(t, { clients: [signing] })
  const send = sender({ token, clock })
  t.equal((await send()).status, 200)
  t.equal(server.requests, 1)
  issuer.clients.replace(clients.slice(0, 1))
  t.equal((await send()).status, 401)
  issuer.clients.replace([signing])
  t.equal((await send()).status, 200)
  t.equal(server.requests, 2, 'the first set of keys was given up')
})

t.test('while the keys of a client cannot be fetched, it gets 503 and Retry-After', async (t) => {
  const server = await JwksServer.open(t, respond(500, ''))
  const { token, clock, lines } = await startOAuth(t, { clients: [signingWith(server)] })
  const answer = await sender({ token, clock })()
  t.match(answer, { status: 503, body: { error: 'temporarily_unavailable' } })
  t.equal(answer.headers['retry-after'], '1')
  t.match(
    lines.find(({ msg }) => msg === 'failed'),
    { err: { message: /^the keys of the client signing cannot be fetched: .*500/ } },
    'the log has the reason',
  )
})
