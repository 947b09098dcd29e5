import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import * as jose from 'jose'
import t, { type Test } from 'tap'
import {
  BackchannelLogout,
  type BackchannelLogoutOptions,
} from '../../src/oauth/backchannel-logout.ts'
import type { Session } from '../../src/stores/ports.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { FakeClock } from '../support/clock.ts'
import { startHttpServer } from '../support/http-server.ts'
import { bearer, claimsOf, issuerUrl } from '../support/issuer.ts'
import { clients, startOAuth } from '../support/oauth.ts'
import { until } from '../support/until.ts'
import { redemption, signInThrough, Visitor } from '../support/visitor.ts'

/**
 * An application that is notified of sign-outs, and answers with these statuses, the last one for ever. It
 * does not answer if there is none.
 */
async function startApplication(t: Test, statuses: number[]) {
  const tokens: string[] = []
  const requests: IncomingMessage[] = []
  const { url } = await startHttpServer(t, async (request, response) => {
    requests.push(request)
    tokens.push(new URLSearchParams(await text(request)).get('logout_token') ?? '')
    const status = statuses.length > 1 ? statuses.shift() : statuses[0]
    if (status === undefined) return
    response.writeHead(status, { location: '/elsewhere', connection: 'close' }).end()
  })
  return { tokens, requests, uri: `${url}/signed-out` }
}

/** The clients of a test, one of them notified at the address. */
function notifiedAt(uri: string, clientId = 'spa') {
  return clients.map((client) =>
    client.client_id === clientId ? { ...client, backchannel_logout_uri: uri } : client,
  ) as unknown as typeof clients
}

const backoff = { minMs: 10, maxMs: 10 }

/** The notifications of a further replica. */
function backchannelOf(
  { issuer, sessions, clock, keys }: Awaited<ReturnType<typeof startOAuth>>,
  options: Partial<BackchannelLogoutOptions>,
) {
  return new BackchannelLogout({
    issuer: issuerUrl,
    store: sessions,
    clients: issuer.clients,
    clock,
    signingKey: () => keys.signingKey(),
    ...options,
  })
}

t.test('a client is notified of the end of its session until it accepts', async (t) => {
  const application = await startApplication(t, [500, 302, 204])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const visitor = new Visitor(issuer)
  const own = await signInThrough(issuer, visitor)
  await signInThrough(issuer, visitor, { client_id: 'backend' })
  const { sub, sid } = claimsOf(own.access_token ?? '')
  await issuer.call({ url: '/logout', method: 'POST', headers: bearer(own.access_token ?? '') })
  await until('it is notified', async () => application.tokens.length === 3)
  t.same(
    application.requests.map(({ method, url }) => [method, url]),
    Array(3).fill(['POST', '/signed-out']),
    'no redirect is followed',
  )
  const jwks = (await issuer.call({ url: '/.well-known/jwks.json' })).json()
  const ids = new Set<unknown>()
  for (const token of application.tokens) {
    const { payload } = await jose.jwtVerify(token, jose.createLocalJWKSet(jwks), {
      issuer: issuerUrl,
      audience: 'spa',
      typ: 'logout+jwt',
      currentDate: new Date(issuer.clock.nowMs()),
    })
    t.match(payload, { sub, sid, iat: Number, exp: Number })
    t.same(payload.events, { 'http://schemas.openid.net/event/backchannel-logout': {} })
    t.notOk('nonce' in payload)
    ids.add(payload.jti)
  }
  t.equal(ids.size, 3)
  await issuer.oauth.backchannel.refresh()
  t.equal(application.tokens.length, 3)
})

t.test('a code is refused if its session ends before its client is registered', async (t) => {
  const application = await startApplication(t, [200])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const visitor = new Visitor(issuer)
  const { answer } = await visitor.signIn(await visitor.authorize({ scope: 'openid' }))
  const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  const putOneTime = issuer.sessions.putOneTime.bind(issuer.sessions)
  issuer.sessions.putOneTime = async (id, ...rest) => {
    if (id.startsWith('logout.')) await issuer.issuer.sessions.revokeAll(sub)
    return putOneTime(id, ...rest)
  }
  const redeemed = await issuer.token({ ...redemption, code: answer?.code ?? '' })
  t.match(redeemed, { status: 400, body: { error: 'invalid_grant' } })
})

t.test('a sign-out everywhere notifies of every session', async (t) => {
  const application = await startApplication(t, [200])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const tokens = [
    await signInThrough(issuer, new Visitor(issuer)),
    await signInThrough(issuer, new Visitor(issuer)),
  ]
  const headers = bearer(tokens[0]?.access_token ?? '')
  await issuer.call({ url: '/logout/all', method: 'POST', headers })
  await until('it is notified of both', async () => application.tokens.length === 2)
  const sids = (list: readonly (string | undefined)[]) =>
    list.map((token) => claimsOf(token ?? '').sid).sort()
  t.same(sids(application.tokens), sids(tokens.map(({ access_token }) => access_token)))
})

t.test('a client that is configured later is notified', async (t) => {
  const application = await startApplication(t, [200])
  const issuer = await startOAuth(t)
  issuer.issuer.clients.replace(notifiedAt(application.uri))
  const { access_token = '' } = await signInThrough(issuer, new Visitor(issuer))
  await issuer.call({ url: '/logout/all', method: 'POST', headers: bearer(access_token) })
  await until('it is notified', async () => application.tokens.length === 1)
  t.equal(claimsOf(application.tokens[0] ?? '').sid, claimsOf(access_token).sid)
})

t.test('a client whose address was missing for a while is notified of each sign-out', async (t) => {
  const application = await startApplication(t, [200])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const { access_token = '' } = await signInThrough(issuer, new Visitor(issuer))
  issuer.issuer.clients.replace(notifiedAt(application.uri, 'backend'))
  await issuer.call({ url: '/logout', method: 'POST', headers: bearer(access_token) })
  await issuer.oauth.backchannel.refresh()
  issuer.issuer.clients.replace(notifiedAt(application.uri))
  await issuer.oauth.backchannel.refresh()
  await until('it is notified', async () => application.tokens.length === 1)
  t.equal(claimsOf(application.tokens[0] ?? '').sid, claimsOf(access_token).sid)
})

t.test('a session that a code starts during a sign-out everywhere is notified too', async (t) => {
  const application = await startApplication(t, [200])
  let afterList = async () => {}
  class Sessions extends SqliteSessionStore {
    override async listBySub(sub: string, nowMs: number): Promise<Session[]> {
      const sessions = await super.listBySub(sub, nowMs)
      await afterList()
      return sessions
    }
  }
  const sessions = new Sessions(':memory:')
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri), sessions })
  const visitor = new Visitor(issuer)
  const { access_token = '' } = await signInThrough(issuer, visitor, { client_id: 'backend' })
  let begun: Readonly<Record<string, string>> = {}
  afterList = async () => {
    afterList = async () => {}
    begun = await signInThrough(issuer, visitor)
  }
  const headers = bearer(access_token)
  t.equal((await issuer.call({ url: '/logout/all', method: 'POST', headers })).statusCode, 204)
  await until('it is notified', async () => application.tokens.length === 1)
  t.equal(claimsOf(application.tokens[0] ?? '').sid, claimsOf(begun.access_token ?? '').sid)
})

t.test('a restart loses no notification, and one of two replicas sends it', async (t) => {
  const application = await startApplication(t, [503])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const { access_token = '' } = await signInThrough(issuer, new Visitor(issuer))
  await issuer.call({ url: '/logout', method: 'POST', headers: bearer(access_token) })
  await until('it was tried', async () => application.tokens.length > 0)
  await issuer.oauth.backchannel.close()

  const working = await startApplication(t, [200])
  issuer.issuer.clients.replace(notifiedAt(working.uri))
  issuer.clock.advanceMs(60_000)
  const replicas = [backchannelOf(issuer, { backoff }), backchannelOf(issuer, { backoff })]
  await Promise.all(replicas.map((one) => one.refresh()))
  await until('it is notified', async () => working.tokens.length > 0)
  const key = `logout.${claimsOf(access_token).sid}`
  const nowMs = issuer.clock.nowMs()
  await until('the notification is removed', async () => {
    return (await issuer.sessions.findOneTime(key, nowMs)) === null
  })
  t.same(await issuer.sessions.takeOneTime(key, 'a test', nowMs), { state: 'unknown' })
  await Promise.all(replicas.map((one) => one.refresh()))
  await Promise.all(replicas.map((one) => one.close()))
  t.equal(working.tokens.length, 1)
})

t.test('notifications to a client that fails end after an hour', async (t) => {
  const application = await startApplication(t, [500])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const failures: string[] = []
  const { access_token = '' } = await signInThrough(issuer, new Visitor(issuer))
  await issuer.oauth.backchannel.close()
  await issuer.call({ url: '/logout', method: 'POST', headers: bearer(access_token) })
  const logout = backchannelOf(issuer, {
    backoff,
    onFailure: (clientId) => failures.push(clientId),
  })
  t.teardown(() => logout.close())
  await logout.refresh()
  await until('it was tried', async () => application.tokens.length > 1)
  issuer.clock.advanceMs(3_600_001)
  await until('it is given up', async () => failures.length === 1)
  t.same(failures, ['spa'])
})

t.test('I11: a clock that is ahead for a while ends no notification', async (t) => {
  const application = await startApplication(t, [500, 500, 200])
  const issuer = await startOAuth(t, { clients: notifiedAt(application.uri) })
  const { access_token = '' } = await signInThrough(issuer, new Visitor(issuer))
  await issuer.oauth.backchannel.close()
  await issuer.call({ url: '/logout', method: 'POST', headers: bearer(access_token) })
  const right = new FakeClock(issuer.clock.nowMs())
  issuer.clock.advance_s(2 * 3_600)
  const logout = backchannelOf(issuer, { backoff, expiryClock: right })
  t.teardown(() => logout.close())
  await logout.refresh()
  await until('the client is notified', () => application.tokens.length === 3)
})

/** Ends sessions of a client that answers with these statuses, then one of a client that works. */
async function endMany(
  t: Test,
  count: number,
  statuses: number[],
  options: Partial<BackchannelLogoutOptions>,
) {
  const [broken, working] = [await startApplication(t, statuses), await startApplication(t, [200])]
  const all = notifiedAt(broken.uri).map((client) =>
    client.client_id === 'backend' ? { ...client, backchannel_logout_uri: working.uri } : client,
  ) as unknown as typeof clients
  const issuer = await startOAuth(t, { clients: all })
  await issuer.oauth.backchannel.close()
  const { sessions, clock } = issuer
  const logout = backchannelOf(issuer, options)
  t.teardown(() => logout.close())
  const end = async (clientId: string, sid: string) => {
    const client = issuer.issuer.clients.get(clientId)
    await logout.register(client, { sid, sub: 'ada', endsAtMs: clock.nowMs() + 1_000 })
    await sessions.appendRevocation('session', sid, clock.nowMs(), 1_000)
  }
  for (let n = 0; n < count; n += 1) await end('spa', `session-${n}`)
  await end('backend', 'the last')
  // One reading reaches the end of the log, however many notifications wait.
  await logout.refresh()
  await until('the other client is notified', () => working.tokens.length === 1)
  t.equal(claimsOf(working.tokens[0] ?? '').sid, 'the last')
  return { broken, clock, logout }
}

t.test('a client that does not answer delays no other client', async (t) => {
  const { broken } = await endMany(t, 900, [], { backoff: { minMs: 60_000, maxMs: 60_000 } })
  t.ok(broken.requests.length <= 250, `${broken.requests.length} notifications wait for it`)
})

t.test('a client that fails takes the place of no other client', async (t) => {
  const statuses = [500]
  const options = { backoff: { minMs: 1_000, maxMs: 1_000 }, maxWaiting: 50 }
  const { broken, clock, logout } = await endMany(t, 120, statuses, options)
  await until('it has refused each notification', () => broken.tokens.length >= 120)
  const before = broken.tokens.length
  statuses[0] = 200
  await until('it is notified of each session once it works', async () => {
    clock.advanceMs(5_000)
    await logout.refresh()
    return new Set(broken.tokens.slice(before).map((token) => claimsOf(token).sid)).size === 120
  })
})
