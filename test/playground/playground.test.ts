import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { Replica, ReplicaKind, Replicas } from '../../src/playground/api.ts'
import { EventLog, playground } from '../../src/playground/playground.ts'
import { FakeClock } from '../support/clock.ts'
import { bearer, issuerUrl, startIssuer } from '../support/issuer.ts'
import { policy } from '../support/sessions.ts'
import { loadPage } from './pages.ts'

const { origin, host } = new URL(issuerUrl)

/** Replicas without processes. */
class FakeReplicas implements Replicas {
  opened = 0
  #list: Replica[] = [{ name: 'verifier-1', kind: 'verifier', port: 1 }]
  readonly #kinds: readonly ReplicaKind[]

  constructor(kinds: readonly ReplicaKind[]) {
    this.#kinds = kinds
  }

  list = () => this.#list
  kinds = () => this.#kinds

  pageOpened(): void {
    this.opened++
  }

  async add(kind: ReplicaKind): Promise<string> {
    this.#list.push({ name: `${kind}-9`, kind, port: null })
    return `${kind}-9`
  }

  async stop(name: string): Promise<void> {
    this.#list = this.#list.filter((one) => one.name !== name)
  }
}

async function start(t: Test, kinds: readonly ReplicaKind[] = ['verifier', 'shop']) {
  const replicas = new FakeReplicas(kinds)
  const events = new EventLog(new FakeClock())
  const issuer = await startIssuer(t, {
    onAudit: (event, fields) => events.add(event, fields),
    extra: (scope, { clock, keys, sessions, verifier }) =>
      playground(scope, {
        issuerUrl,
        accessTtlSeconds: 300,
        graceMs: policy.graceMs,
        clock,
        keys,
        verifier,
        replicas,
        events,
        thirdParty: 'http://127.0.0.1:4300',
        findSession: (sid) => sessions.find(sid, clock.nowMs()),
      }),
  })
  /** As the page does it. */
  const ask = ({ headers, ...request }: InjectOptions) =>
    issuer.call({
      ...request,
      headers: { host, origin, 'sec-fetch-site': 'same-origin', ...headers },
    })
  return { ...issuer, replicas, ask }
}

t.test('the page and all files that it loads', async (t) => {
  const { call, replicas } = await start(t)
  const loaded = await loadPage(async (url) => {
    const { statusCode, headers, payload } = await call({ url, headers: { host } })
    t.match(headers['content-security-policy'], "default-src 'none'", url)
    t.equal(headers['x-content-type-options'], 'nosniff', url)
    return { status: statusCode, type: String(headers['content-type']), text: payload }
  })
  for (const [path, { status }] of loaded) t.equal(status, 200, path)
  t.ok([...loaded.keys()].some((path) => path.endsWith('/browser/index.ts')))
  t.equal(replicas.opened, 0, 'nothing starts before the page itself asks')
})

t.test('another name of this machine is redirected, and a foreign name is refused', async (t) => {
  const { call } = await start(t)
  const local = await call({ url: '/', headers: { host: '127.0.0.1:4000' } })
  t.equal(local.statusCode, 302)
  t.equal(local.headers.location, `${issuerUrl}/`)
  for (const url of ['/', '/playground/files/playground/page/main.ts', '/playground/state']) {
    const headers = { host: 'evil.test', origin: 'http://evil.test' }
    t.match(await call({ url, headers }), { statusCode: 403 }, url)
  }
})

t.test('the state: replicas, keys, and events after the last', async (t) => {
  const { ask, login, replicas, keys } = await start(t)
  await login({ password: 'wrong' })
  await login()
  const state = (await ask({ url: '/playground/state' })).json()
  t.match(state, {
    username: 'demo',
    access_ttl_s: 300,
    grace_s: policy.graceMs / 1000,
    replicas: [{ name: 'verifier-1', kind: 'verifier', ready: true }],
    kinds: ['verifier', 'shop'],
    third_party: 'http://127.0.0.1:4300',
    keys: [{ kid: keys.signingKey().kid, state: 'active', signs_in_s: 0 }],
    events: [{ event: 'login.failed' }, { event: 'login.ok' }],
  })
  t.notMatch(JSON.stringify(state.replicas), 'port')
  const [{ id }] = state.events
  const later = (await ask({ url: `/playground/state?after=${id}` })).json()
  t.match(later.events, [{ id: id + 1, event: 'login.ok' }])
  t.equal(later.events.length, 1)
  t.equal(replicas.opened, 2)
})

t.test('controls: add, stop, rotate', async (t) => {
  const { ask, replicas, clock } = await start(t)
  const added = await ask({ method: 'POST', url: '/playground/replicas', body: { kind: 'shop' } })
  t.equal(added.statusCode, 201)
  t.same(added.json(), { name: 'shop-9' })
  const stopped = await ask({ method: 'DELETE', url: '/playground/replicas/verifier-1' })
  t.equal(stopped.statusCode, 204)
  t.same(
    replicas.list().map(({ name }) => name),
    ['shop-9'],
  )
  const { kid } = (await ask({ method: 'POST', url: '/playground/keys/rotate' })).json()
  const keysOf = async () => (await ask({ url: '/playground/state' })).json().keys
  t.match(await keysOf(), [{ state: 'active' }, { kid, state: 'pending', signs_in_s: 310 }])
  clock.advance_s(305)
  t.match(await keysOf(), [{}, { kid, signs_in_s: 5 }])
})

t.test('a kind that cannot be started is refused', async (t) => {
  const { ask } = await start(t, ['verifier'])
  for (const body of [
    { kind: 'shop' },
    { kind: 'issuer' },
    { kind: ['verifier'] },
    {},
    undefined,
  ]) {
    const answer = await ask({ method: 'POST', url: '/playground/replicas', ...(body && { body }) })
    t.equal(answer.statusCode, 422)
    t.same(answer.json().errors, [{ pointer: '/body/kind', detail: 'must be verifier' }])
  }
})

t.test('another page is refused', async (t) => {
  const { call, replicas, keys } = await start(t)
  const before = keys.list().length
  const requests: InjectOptions[] = [
    { url: '/playground/state' },
    { url: '/playground/session' },
    { url: '/playground/verifier/verify' },
    { method: 'POST', url: '/playground/replicas', body: { kind: 'verifier' } },
    { method: 'DELETE', url: '/playground/replicas/verifier-1' },
    { method: 'POST', url: '/playground/keys/rotate' },
  ]
  for (const request of requests) {
    for (const headers of [
      { host },
      { host, origin: 'https://evil.test' },
      { host, origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' },
      { host, 'sec-fetch-site': 'cross-site' },
    ]) {
      const { statusCode, payload } = await call({ ...request, headers })
      t.equal(statusCode, 403, `${request.url} ${JSON.stringify(headers)}`)
      t.match(payload, 'origin_not_allowed')
    }
    const far = await call({ ...request, headers: { host, origin }, remoteAddress: '10.0.0.7' })
    t.equal(far.statusCode, 403)
  }
  t.equal(replicas.list().length, 1)
  t.equal(replicas.opened, 0)
  t.equal(keys.list().length, before)
})

t.test('the refresh token of a session: its generation and remaining grace period', async (t) => {
  const { ask, signIn, refresh, clock, call } = await start(t)
  const { access_token, refresh_token, session_id } = await signIn()
  const line = async () => {
    const answer = await ask({ url: '/playground/session', headers: bearer(access_token) })
    return answer.json()
  }
  t.same(await line(), { session_id, generation: 0, grace_left_ms: policy.graceMs })
  clock.advanceMs(policy.graceMs + 1)
  await refresh(refresh_token)
  clock.advanceMs(1_000)
  t.same(await line(), { session_id, generation: 1, grace_left_ms: policy.graceMs - 1_000 })
  clock.advanceMs(policy.graceMs)
  t.match(await line(), { grace_left_ms: 0 })
  await call({ method: 'POST', url: '/logout', headers: bearer(access_token) })
  t.match(await line(), { code: 'token_revoked' })
  t.match((await ask({ url: '/playground/session' })).json(), { code: 'token_missing' })
})

t.test('without a replica the response is 503', async (t) => {
  const { ask } = await start(t)
  const answer = await ask({ url: '/playground/shop/cart' })
  t.equal(answer.statusCode, 503)
  t.equal(answer.json().code, 'replica_unavailable')
  t.equal(answer.headers['retry-after'], '1')
})

t.test('an issuer without the playground answers 404', async (t) => {
  const { call } = await startIssuer(t)
  for (const url of ['/', '/playground/state', '/playground/files/playground/page/main.ts']) {
    t.equal((await call({ url, headers: { host } })).statusCode, 404, url)
  }
})

t.test('a caller receives the events after an id', async (t) => {
  const clock = new FakeClock()
  const startMs = clock.nowMs()
  const log = new EventLog(clock)
  log.add('key.created', { kid: 'k1' })
  clock.advance_s(1)
  log.add('refresh.refused', { sid: 's1', reason: 'expired' })
  t.same(log.after(0), [
    { id: startMs + 1, at: '2026-01-01T00:00:00.000Z', event: 'key.created', kid: 'k1' },
    {
      id: startMs + 2,
      at: '2026-01-01T00:00:01.000Z',
      event: 'refresh.refused',
      session_id: 's1',
      reason: 'expired',
    },
  ])
  t.same(
    log.after(startMs + 1).map(({ id }) => id),
    [startMs + 2],
  )
  t.same(log.after(startMs + 2), [])
  t.same(log.after(Number.NaN), [])
})

t.test('a page receives the events of an issuer that was started again', async (t) => {
  const clock = new FakeClock()
  const before = new EventLog(clock)
  for (let count = 0; count < 5; count++) before.add('logout', {})
  const lastId = before.after(0).at(-1)?.id ?? 0
  clock.advance_s(1)
  const restarted = new EventLog(clock)
  restarted.add('login.ok', {})
  t.match(restarted.after(lastId), [{ event: 'login.ok' }])
})

t.test('an event contains no more about a user than the session', async (t) => {
  const log = new EventLog(new FakeClock())
  log.add('login.throttled', { sub: 'u1', client_id: 'web', network: '192.0.2.0/24', count: 9 })
  t.same(Object.keys(log.after(0)[0] ?? {}), ['id', 'at', 'event'])
})

t.test('the log keeps the last 200 events', async (t) => {
  const clock = new FakeClock()
  const log = new EventLog(clock)
  for (let count = 0; count < 250; count++) log.add('logout', {})
  const ids = log.after(0).map(({ id }) => id - clock.nowMs())
  t.equal(ids.length, 200)
  t.same([ids[0], ids.at(-1)], [51, 250])
})
