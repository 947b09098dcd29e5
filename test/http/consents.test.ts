import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { FakeClock } from '../support/clock.ts'
import { bearer } from '../support/issuer.ts'
import { clients, startOAuth } from '../support/oauth.ts'
import { redemption, signInThrough, Visitor } from '../support/visitor.ts'

/** Users allow applications of third parties, and withdraw that. */

const redirect_uri = 'https://prints.example/cb'
const thirdParty = (client_id: string) => ({
  client_id,
  grants: ['authorization_code', 'refresh_token'] as const,
  redirect_uris: [redirect_uri],
  scopes: { profile: ['name'], 'data:read': [] },
  third_party: true,
})
const withThirdParties = {
  clients: [
    ...clients,
    { ...thirdParty('prints'), client_name: 'Photo Prints' },
    thirdParty('maps'),
  ] as unknown as typeof clients,
}

async function start(t: Test, options: Partial<Parameters<typeof startOAuth>[1]> = {}) {
  const issuer = await startOAuth(t, { ...withThirdParties, ...options })
  const { access_token } = await issuer.signIn()
  const headers = bearer(access_token)
  const visitor = new Visitor(issuer)

  /** Allows an application. @returns the code for it */
  async function allow(client_id: string, scope = 'profile'): Promise<string> {
    let page = await visitor.authorize({ client_id, redirect_uri, scope })
    if (page.html.includes('type="password"')) page = await visitor.signIn(page)
    if (page.answer === null) page = await visitor.submit(page, { decision: 'allow' })
    return page.answer?.code ?? ''
  }

  const redeem = (client_id: string, code: string) =>
    issuer.token({
      ...redemption,
      client_id,
      redirect_uri,
      code,
    })

  return {
    issuer,
    visitor,
    allow,
    redeem,
    signInTo: async (client_id: string, scope?: string) =>
      (await redeem(client_id, await allow(client_id, scope))).body,
    list: async () => (await issuer.call({ url: '/consents', headers })).json().consents,
    withdraw: (client_id: string) =>
      issuer.call({ method: 'DELETE', url: `/consents/${client_id}`, headers }),
    refresh: (client_id: string, refresh_token: string) =>
      issuer.token({ grant_type: 'refresh_token', client_id, refresh_token }),
  }
}

t.test('GET /consents lists the applications that the user has allowed', async (t) => {
  const { list, allow, issuer } = await start(t)
  t.same(await list(), [])
  await allow('prints')
  const prints = { client_id: 'prints', client_name: 'Photo Prints' }
  t.same(await list(), [{ ...prints, scope: 'openid profile' }])
  await allow('prints', 'data:read')
  await allow('maps', 'openid')
  t.same(await list(), [
    { ...prints, scope: 'openid profile data:read' },
    { client_id: 'maps', client_name: 'maps', scope: 'openid' },
  ])
  await issuer.users.add({ loginName: 'eve', password: 'correct horse battery staple' })
  const eve = await issuer.signIn({ username: 'eve' })
  const others = await issuer.call({ url: '/consents', headers: bearer(eve.access_token) })
  t.same(others.json(), { consents: [] })
})

t.test('an application with a session is listed without a consent, and can be ended', async (t) => {
  const { issuer, visitor, list, withdraw } = await start(t)
  await signInThrough(issuer, visitor)
  const changed = clients.map((client) =>
    client.client_id === 'spa' ? { ...client, third_party: true } : client,
  )
  issuer.issuer.clients.replace(changed)
  t.same(await list(), [{ client_id: 'spa', client_name: 'spa', scope: 'openid profile' }])
  t.equal((await withdraw('spa')).statusCode, 204)
  t.same(await list(), [])
})

t.test('DELETE /consents/{client_id} ends the sessions, and the client asks again', async (t) => {
  const { list, withdraw, signInTo, refresh, visitor, issuer } = await start(t)
  const [first, second] = [await signInTo('prints'), await signInTo('prints')]
  const maps = await signInTo('maps')
  t.equal((await withdraw('prints')).statusCode, 204)
  for (const { access_token, refresh_token } of [first, second]) {
    t.match(await refresh('prints', refresh_token), {
      status: 400,
      body: { error: 'invalid_grant' },
    })
    const me = await issuer.call({ url: '/me', headers: bearer(access_token) })
    t.match(me.json(), { code: 'token_revoked' })
  }
  t.equal((await refresh('maps', maps.refresh_token)).status, 200, 'another application stays')
  t.match(await list(), [{ client_id: 'maps' }])
  t.match(
    issuer.audit().find(({ event }) => event === 'consent.withdrawn'),
    { client_id: 'prints', count: 2 },
  )
  const page = await visitor.authorize({ client_id: 'prints', redirect_uri, scope: 'profile' })
  t.match(page.html, 'Allow <bdi>Photo Prints</bdi> to use your account?')
  await visitor.submit(page, { decision: 'allow' })
  t.match(await list(), [{ client_id: 'prints', scope: 'openid profile' }, { client_id: 'maps' }])
})

t.test('a code stays valid while the form of the consent is sent again', async (t) => {
  const { issuer, visitor, redeem } = await start(t)
  const asked = { client_id: 'prints', redirect_uri, scope: 'profile' }
  const page = await visitor.signIn(await visitor.authorize(asked))
  const allow = () => visitor.submit(page, { decision: 'allow' })
  const { answer } = await allow()
  const redeemOnce = () => redeem('prints', answer?.code ?? '')
  let redeemed: ReturnType<typeof redeem> | undefined
  const { sessions } = issuer
  const deleteOneTime = sessions.deleteOneTime.bind(sessions)
  sessions.deleteOneTime = async (id) => {
    await deleteOneTime(id)
    redeemed ??= redeemOnce()
    await redeemed
  }
  t.match((await allow()).answer, { code: /^gpc_/ })
  redeemed ??= redeemOnce()
  t.match(await redeemed, { status: 200 })
})

t.test('withdrawing a consent that does not exist is 404', async (t) => {
  const { withdraw, allow } = await start(t)
  await allow('prints')
  t.equal((await withdraw('prints')).statusCode, 204)
  for (const clientId of ['prints', 'maps', 'web', 'nobody']) {
    t.match((await withdraw(clientId)).json(), { status: 404, code: 'consent_not_found' }, clientId)
  }
})

t.test('while the clock is wrong, a consent stays, and can be withdrawn afterwards', async (t) => {
  const boot = new FakeClock(0)
  const monitorClock = { uptimeMs: () => boot.nowMs() }
  const { issuer, allow, withdraw, list } = await start(t, { monitorClock })
  await allow('prints')
  issuer.clock.advance_s(60)
  t.match((await withdraw('prints')).json(), { status: 503, code: 'clock_skew' })
  issuer.clock.advance_s(-60)
  t.match(await list(), [{ client_id: 'prints' }])
  t.equal((await withdraw('prints')).statusCode, 204)
  t.match(issuer.audit().at(-1), { event: 'consent.withdrawn', client_id: 'prints', count: 0 })
})

t.test('a consent that has just expired can be granted again', async (t) => {
  const { allow, redeem, issuer } = await start(t)
  await allow('prints')
  issuer.clock.advanceMs(86_400_000)
  t.match(await redeem('prints', await allow('prints')), { status: 200 })
})

t.test('a consent that is given again lasts as long as a new one', async (t) => {
  const { issuer, visitor, allow, redeem } = await start(t)
  await allow('prints')
  issuer.clock.advanceMs(86_399_000)
  const asked = { client_id: 'prints', redirect_uri, scope: 'profile', prompt: 'consent' }
  const page = await visitor.signIn(await visitor.authorize(asked))
  const { answer } = await visitor.submit(page, { decision: 'allow' })
  issuer.clock.advance_s(2)
  t.match(await redeem('prints', answer?.code ?? ''), { status: 200 })
  t.match((await visitor.authorize({ ...asked, prompt: 'none' })).answer, { code: /^gpc_/ })
})

t.test('a scope that the page did not show is not granted', async (t) => {
  const { issuer, visitor, redeem } = await start(t)
  const page = await visitor.signIn(
    await visitor.authorize({ client_id: 'prints', redirect_uri, scope: undefined }),
  )
  t.notMatch(page.html, 'data:write')
  // A SIGHUP, while the user reads the page.
  const { scopes, ...rest } = thirdParty('prints')
  issuer.issuer.clients.replace([{ ...rest, scopes: { ...scopes, 'data:write': [] } }])
  const { answer } = await visitor.submit(page, { decision: 'allow' })
  t.match(await redeem('prints', answer?.code ?? ''), { body: { scope: 'profile data:read' } })
  const again = await visitor.authorize({ client_id: 'prints', redirect_uri, scope: undefined })
  t.match(again.html, 'data:write')

  t.comment('a request that the new settings refuse: the client learns why')
  issuer.issuer.clients.replace([{ ...rest, scopes: { profile: [] } }])
  const refused = await visitor.submit(again, { decision: 'allow' })
  t.match(refused.answer, { url: redirect_uri, error: 'invalid_scope', state: 'the state' })
  t.match(JSON.stringify(issuer.lines), 'scope_not_allowed')
})

t.test('a code of a withdrawn consent is refused', async (t) => {
  const { withdraw, allow, redeem, issuer } = await start(t)
  const code = await allow('prints')
  await withdraw('prints')
  t.match(await redeem('prints', code), { status: 400, body: { error: 'invalid_grant' } })
  t.match(
    issuer.audit().findLast(({ event }) => event === 'session.revoked'),
    { reason: 'consent_withdrawn' },
  )
})

t.test('a withdrawal that the store interrupts can be repeated', async (t) => {
  const { withdraw, signInTo, refresh, issuer } = await start(t)
  const { refresh_token } = await signInTo('prints')
  const { sessions } = issuer
  const { revoke } = sessions
  sessions.revoke = async () => {
    throw new GatepassError('store_unavailable')
  }
  t.equal((await withdraw('prints')).statusCode, 503)
  sessions.revoke = revoke
  t.equal((await withdraw('prints')).statusCode, 204)
  t.equal((await refresh('prints', refresh_token)).status, 400)
})

t.test(
  'a withdrawal that the store interrupts between two scopes leaves no scope behind',
  async (t) => {
    const { issuer, allow, list, withdraw } = await start(t)
    const { sessions } = issuer
    const original = sessions.deleteOneTime.bind(sessions)
    t.teardown(() => Object.assign(sessions, { deleteOneTime: original }))
    sessions.deleteOneTime = async () => {
      throw new GatepassError('store_unavailable')
    }
    t.equal(await allow('prints'), '', 'no code')
    const granted = () => issuer.audit().filter(({ event }) => event === 'consent.granted')
    t.same(granted(), [], 'the audit log has no consent that was not stored')
    sessions.deleteOneTime = original
    for (const completed of [1, 2]) {
      await allow('prints', 'profile data:read')
      let left = completed
      sessions.deleteOneTime = async (id) => {
        if (left-- === 0) throw new GatepassError('store_unavailable')
        return original(id)
      }
      t.equal((await withdraw('prints')).statusCode, 503)
      t.match(await list(), [{ client_id: 'prints' }], 'the user sees that it is not withdrawn')
      sessions.deleteOneTime = original
      t.equal((await withdraw('prints')).statusCode, 204)
      t.same(await list(), [])
      const withdrawn = issuer.audit().filter(({ event }) => event === 'consent.withdrawn')
      t.equal(withdrawn.length, completed)
    }
  },
)

t.test('a third-party application reads what its scopes name, and manages nothing', async (t) => {
  const { signInTo, issuer } = await start(t)
  const { access_token, session_id } = await signInTo('prints', 'data:read')
  const headers = bearer(access_token)
  const me = await issuer.call({ url: '/me', headers })
  t.match(me.json(), { username: 'ada' })
  t.same(me.json().attributes, {}, 'the scope names no attribute')
  const profile = await signInTo('prints', 'profile')
  const named = await issuer.call({ url: '/me', headers: bearer(profile.access_token) })
  t.same(named.json().attributes, { name: 'Ada' })
  for (const [method, url] of [
    ['GET', '/sessions'],
    ['DELETE', `/sessions/${session_id}`],
    ['GET', '/consents'],
    ['DELETE', '/consents/prints'],
    ['POST', '/logout/all'],
  ] as const) {
    const refused = await issuer.call({ method, url, headers })
    t.match(refused.json(), { status: 403, code: 'client_not_allowed' }, `${method} ${url}`)
  }
  t.equal((await issuer.call({ url: '/me', headers })).statusCode, 200, 'nothing has ended')
  issuer.issuer.clients.replace(clients)
  const removed = await issuer.call({ method: 'POST', url: '/logout/all', headers })
  t.equal(removed.statusCode, 403, 'a client that was removed is no client of ours')
})
