import t, { type Test } from 'tap'
import { parseDpopProof } from '../../src/tokens/dpop-proof.ts'
import { problem } from './fake-issuer.ts'
import { issuerUrl, type Tab, World } from './world.ts'

const me = `${issuerUrl}/me`
const ada = { username: 'ada', password: 'right' }
const curve = { name: 'ECDSA', namedCurve: 'P-256' }

/** A world in which a user has signed in, in the first tab. */
async function signedIn(): Promise<{ world: World; tab: Tab }> {
  const world = new World()
  const tab = world.open()
  await world.until(tab.client.login(ada))
  return { world, tab }
}

async function refuses(t: Test, promise: Promise<unknown>, code: string): Promise<void> {
  await t.rejects(promise, { name: 'AuthClientError', code })
}

t.test('a user signs in and out', async (t) => {
  const world = new World()
  const { client, heard } = world.open()
  t.same(client.state, { status: 'unknown' })
  t.equal(await world.until(client.getAccessToken()), null)
  t.same(client.state, { status: 'signed-out' })
  await refuses(t, world.until(client.login({ ...ada, password: 'no' })), 'credentials_invalid')
  await world.until(client.login(ada))
  t.match(client.state, { status: 'signed-in', sessionId: 'ada-0', scope: 'data:read' })
  t.equal(await world.until(client.getAccessToken()), 'token-0')
  t.match(await world.until(client.user()), { sub: 'ada-0' })
  await world.until(client.logout())
  t.same(client.state, { status: 'signed-out' })
  t.equal(await world.until(client.user()), null)
  t.same(await world.until(client.sessions()), [])
  t.same(heard, ['signed-out', 'signed-in', 'signed-out'])
  t.same([...world.items], [], 'nothing is left')
})

t.test('a page without a session asks the issuer once', async (t) => {
  const world = new World()
  const { client } = world.open()
  const { answer } = world.issuer
  const asked: string[] = []
  world.issuer.answer = (request) => {
    asked.push(request.path)
    return answer.call(world.issuer, request)
  }
  t.equal(await world.until(client.user()), null)
  t.equal(await world.until(client.user()), null)
  t.same(await world.until(client.sessions()), [])
  await world.until(client.endSession('ada-0'))
  t.same(asked, ['/refresh'])
})

t.test('there is no user once the session has ended', async (t) => {
  const { world, tab } = await signedIn()
  const { answer } = world.issuer
  world.issuer.answer = (request) => {
    if (request.path === '/me') tab.client.logout()
    return answer.call(world.issuer, request)
  }
  t.equal(await world.until(tab.client.user()), null)
})

t.test('the state is one frozen object per change, as React requires', async (t) => {
  const { world, tab } = await signedIn()
  const { client } = tab
  const seen = [client.state]
  const { onChange } = client
  onChange((state) => {
    t.equal(state, client.state)
    seen.push(state)
  })
  await world.advance(100_000)
  t.equal(client.state, seen[0], 'time passes, and nothing changes')
  await world.advance(200_000)
  await world.until(client.getAccessToken())
  await world.until(client.logout())
  await world.until(client.logout())
  t.same(
    seen.map(({ status }) => status),
    ['signed-in', 'signed-in', 'signed-out'],
  )
  t.equal(new Set(seen).size, 3)
  t.ok([...seen, world.open().client.state].every(Object.isFrozen))
})

t.test('a page of a refused origin gets `origin_not_allowed`', async (t) => {
  const world = new World()
  const { client } = world.open()
  const asked: string[] = []
  world.issuer.answer = ({ path, cookie, body, idempotencyKey }) => {
    asked.push(path)
    t.same([cookie, body, idempotencyKey], [null, '', null])
    // No header of it may be read.
    return problem(403, 'origin_not_allowed', { headers: { date: '' } })
  }
  world.cookie = 'ada-0.0'
  // The browser keeps the answers to all others from the page.
  world.fate = (request) => (request.credentials === 'omit' ? 'fine' : 'request lost')
  await refuses(t, world.until(client.getAccessToken()), 'origin_not_allowed')
  await refuses(t, world.until(client.login(ada)), 'origin_not_allowed')
  t.same(asked, ['/login', '/login'])
  t.equal(client.state.status, 'unknown')
})

t.test('an unavailable issuer is not reported as a refusal', async (t) => {
  const world = new World()
  const { client } = world.open()
  let lost = 0
  world.fate = ({ credentials }) => {
    if (credentials === 'omit') return 'fine'
    lost += 1
    return 'request lost'
  }
  await refuses(t, world.until(client.getAccessToken()), 'issuer_unreachable')
  t.equal(lost, 4, 'so it is asked again')
  t.same(world.issuer.log, [], 'and nobody is signed in by the question')
})

t.test('a browser without IndexedDB is not reported as an outage', async (t) => {
  const world = new World()
  const { client } = world.open({ dpop: true })
  const missing = { name: 'TypeError', message: /reading 'open'/ }
  await t.rejects(world.until(client.user()), missing)
  await t.rejects(world.until(client.getAccessToken()), missing)
})

t.test('a key pair of the application needs no IndexedDB', async (t) => {
  const dpop = await crypto.subtle.generateKey(curve, false, ['sign'])
  const world = new World()
  const proofs: string[] = []
  world.fate = ({ headers }) => {
    proofs.push(headers.get('dpop') ?? '')
    return 'fine'
  }
  await world.until(world.open({ dpop }).client.login(ada))
  const { x } = await crypto.subtle.exportKey('jwk', dpop.publicKey)
  t.equal(parseDpopProof(proofs[0] ?? '').header.jwk.x, x)
})

t.test('a proof has the date of the issuer, not of an old response in the cache', async (t) => {
  const dpop = await crypto.subtle.generateKey(curve, false, ['sign'])
  const world = new World()
  const ages: number[] = []
  world.fate = ({ headers }) => {
    const { iat } = parseDpopProof(headers.get('dpop') ?? '').claims
    ages.push(Math.round((world.nowMs / 1000 - iat) / 60))
    return 'fine'
  }
  const { client } = world.open({ dpop })
  const { instead } = world.issuer
  const token = { access_token: 'a', token_type: 'DPoP', expires_in: 300, session_id: 'ada-0' }
  instead.push({ status: 200, body: token })
  await world.until(client.login(ada))
  const dated = (minutes: number) => ({
    headers: { date: new Date(world.nowMs + minutes * 60_000).toUTCString() },
  })
  const fine = { status: 200, body: {} }
  instead.push({ ...fine, ...dated(-60) }, fine, problem(401, 'dpop_proof_invalid', dated(7)), fine)
  for (let n = 0; n < 3; n++) await world.until(client.fetch(me))
  t.same(ages, [0, 0, 0, 0, -7])
})

t.test('the token is sent only to allowed origins', async (t) => {
  const world = new World()
  const api = 'https://api.example.com'
  const { client } = world.open({ origins: [api] })
  await world.until(client.login(ada))
  const seen: (string | null)[] = []
  world.issuer.answer = ({ token }) => {
    seen.push(token)
    return { status: 200, body: {} }
  }
  for (const url of [
    me,
    `${api}/orders`,
    'https://api.example.com.evil.example/',
    'http://api.example.com/',
  ]) {
    await world.until(client.fetch(url))
  }
  t.same(seen, ['token-0', 'token-0', null, null])
})

t.test('the token is refreshed in the background before it expires', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(245_000)
  t.equal(await world.until(tab.client.getAccessToken()), 'token-0')
  await world.advance(100)
  t.equal(await world.until(tab.client.getAccessToken()), 'token-1')
  t.equal(world.issuer.log.filter((line) => line.startsWith('refresh')).length, 1)
})

t.test('concurrent calls share one refresh', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(400_000)
  const tokens = Array.from({ length: 10 }, () => tab.client.getAccessToken())
  t.same(new Set(await world.until(Promise.all(tokens))), new Set(['token-1']))
  t.same(world.issuer.log, ['login ada-0', 'refresh rotated'])
})

t.test('a 401 refreshes the token and repeats the request once, with its body', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(2_000)
  const bodies: string[] = []
  const { answer } = world.issuer
  world.issuer.answer = (request) => {
    if (request.path !== '/orders') return answer.call(world.issuer, request)
    bodies.push(`${request.token} ${request.body}`)
    return problem(401, 'token_expired')
  }
  const init = { method: 'POST', body: 'an order' }
  const response = await world.until(tab.client.fetch(`${issuerUrl}/orders`, init))
  t.equal(response.status, 401)
  t.same(bodies, ['token-0 an order', 'token-1 an order'])
  await world.until(tab.client.fetch(`${issuerUrl}/orders`, init))
  t.equal(bodies.length, 3, 'a token that was just made is not replaced again')
})

t.test('an aborted request does not wait for a refresh', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(400_000)
  world.fate = () => 'request lost'
  const controller = new AbortController()
  const { signal } = controller
  const aborted = tab.client.fetch(me, { signal })
  await world.advance(10)
  controller.abort(new Error('the user has left the view'))
  await t.rejects(world.until(aborted, 20), { message: 'the user has left the view' })
  await t.rejects(world.until(tab.client.fetch(new Request(me, { signal })), 20), {
    message: 'the user has left the view',
  })
  world.fate = () => 'fine'
  await world.advance(10_000)
  t.equal(tab.client.state.status, 'signed-in')
  t.equal(await world.until(tab.client.getAccessToken()), 'token-1', 'the refresh itself goes on')
})

t.test('a signal that outlives a request does not keep it', async (t) => {
  const { world, tab } = await signedIn()
  const listening = new Set<unknown>()
  let heard = 0
  t.intercept(AbortSignal.prototype, 'onabort', {
    set(listener: unknown) {
      heard += 1
      if (listener) listening.add(this)
      else listening.delete(this)
    },
  })
  await world.advance(2_000)
  world.issuer.instead.push(problem(401, 'token_expired'))
  t.equal((await world.until(tab.client.fetch(me))).status, 200)
  world.fate = () => 'request lost'
  await t.rejects(world.until(tab.client.fetch(me)))
  t.equal(heard, 4)
  t.equal(listening.size, 0)
})

t.test('a call after a sign-out does not wait for a refresh in progress', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(400_000)
  world.latencyMs = 5_000
  tab.client.getAccessToken()
  await world.advance(10)
  tab.client.logout()
  t.equal(await world.until(tab.client.getAccessToken(), 20), null)
})

t.test(
  'a refused response that breaks off is dropped without an unhandled rejection',
  async (t) => {
    const { world, tab } = await signedIn()
    await world.advance(2_000)
    world.issuer.instead.push(problem(401, 'token_expired'))
    world.fate = () => {
      world.fate = () => 'fine'
      return 'body lost'
    }
    t.equal((await world.until(tab.client.fetch(me))).status, 200)
  },
)

t.test('a session that ended elsewhere is noticed at the first 401', async (t) => {
  const { world, tab } = await signedIn()
  const other = world.open()
  await world.until(other.client.getAccessToken())
  await world.advance(2_000)
  world.issuer.end('ada-0')
  t.equal((await world.until(tab.client.fetch(me))).status, 401)
  t.equal(tab.client.state.status, 'signed-out')
  await world.advance(10)
  t.equal(other.client.state.status, 'signed-out', 'and the other tabs are told')
})

t.test('an outage of the issuer does not sign out the user', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(400_000)
  world.fate = () => 'request lost'
  await refuses(t, world.until(tab.client.getAccessToken()), 'issuer_unreachable')
  await refuses(t, world.until(tab.client.user()), 'issuer_unreachable')
  t.equal(tab.client.state.status, 'signed-in')
  world.fate = () => 'fine'
  t.equal(await world.until(tab.client.getAccessToken()), 'token-1')
})

t.test('an unavailable issuer is asked every 5 seconds while the token is valid', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(245_000)
  let asked = 0
  world.fate = () => {
    asked += 1
    return 'request lost'
  }
  for (let n = 0; n < 100; n++) {
    t.equal(await world.until(tab.client.getAccessToken()), 'token-0')
    await world.advance(100)
  }
  t.ok(asked >= 4 && asked <= 8, `${asked} requests in 10 seconds`)
})

t.test('503 and 429 are retried after Retry-After', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(400_000)
  const wait = { headers: { 'retry-after': '7' } }
  world.issuer.instead.push(problem(503, 'store_unavailable', wait), problem(429, 'overloaded'))
  const beforeMs = world.nowMs
  t.equal(await world.until(tab.client.getAccessToken()), 'token-1')
  t.ok(world.nowMs - beforeMs >= 7_000 && world.nowMs - beforeMs < 10_000)
  t.equal(new Set(world.issuer.keys).size, 1)

  await world.advance(400_000)
  world.issuer.instead.push(problem(503, 'overloaded', { headers: { 'retry-after': '60' } }))
  const error = await world.until(tab.client.getAccessToken()).catch((error) => error)
  t.match(error, { code: 'overloaded', status: 503, retryAfterSeconds: 60 }, 'too long to wait')
})

t.test('a pause ends when the network is back', async (t) => {
  const { world, tab } = await signedIn()
  await world.advance(400_000)
  world.issuer.instead.push(problem(503, 'overloaded', { headers: { 'retry-after': '9' } }))
  const token = tab.client.getAccessToken()
  await world.advance(1_000)
  tab.wake(false)
  await world.advance(100)
  t.equal(tab.client.state.status, 'signed-in')
  t.equal(await token, 'token-1')
})

t.test('a session that its client may not continue is over', async (t) => {
  for (const [status, code] of [
    [400, 'client_unknown'],
    [401, 'client_authentication_failed'],
    [400, 'grant_not_allowed'],
  ] as const) {
    const { world, tab } = await signedIn()
    await world.advance(400_000)
    world.issuer.instead.push(problem(status, code))
    t.equal(await world.until(tab.client.getAccessToken()), null, code)
    t.equal(tab.client.state.status, 'signed-out')
  }
})

t.test('a response of another server does not sign out the user', async (t) => {
  const { world, tab } = await signedIn()
  for (const answer of [
    { status: 401 },
    problem(401, 'token_missing'),
    problem(403, 'origin_not_allowed'),
    { status: 404 },
  ]) {
    await world.advance(400_000)
    world.issuer.instead.push(answer)
    const error = await world.until(tab.client.getAccessToken()).catch((error) => error)
    t.match(error, { name: 'AuthClientError', status: answer.status })
    t.equal(tab.client.state.status, 'signed-in')
    t.type(await world.until(tab.client.getAccessToken()), 'string')
  }
})

t.test('a listener that throws affects no other, and a removed one is not called', async (t) => {
  const world = new World()
  const { client } = world.open()
  let heard = 0
  const stop = client.onChange(() => {
    heard += 1
  })
  await world.until(client.login(ada))
  stop()
  await world.until(client.logout())
  t.equal(heard, 1)
})

t.test('a closed client receives no messages', async (t) => {
  const { world, tab } = await signedIn()
  tab.client.close()
  await world.until(tab.client.logout())
  t.same(tab.heard, ['signed-in'])
})

t.test('a sign-in names the client and the scope', async (t) => {
  const world = new World()
  const { client } = world.open({ clientId: 'shop' })
  const bodies: string[] = []
  world.issuer.answer = ({ body }) => {
    bodies.push(body)
    return problem(401, 'credentials_invalid')
  }
  await refuses(t, world.until(client.login({ ...ada, scope: 'a b' })), 'credentials_invalid')
  t.same(JSON.parse(bodies[0] ?? ''), { ...ada, scope: 'a b', client_id: 'shop' })
})

t.test('a session is ended on another device, and this one is signed out', async (t) => {
  const { world, tab } = await signedIn()
  const { client } = tab
  const seen: string[] = []
  const { answer } = world.issuer
  world.issuer.answer = (request) => {
    const { method, path } = request
    seen.push(`${method} ${path}`)
    if (method !== 'DELETE') return answer.call(world.issuer, request)
    return path === '/sessions/lost' ? problem(503, 'store_unavailable') : { status: 204 }
  }
  await world.until(client.endSession('a/b'))
  await refuses(t, world.until(client.endSession('lost')), 'store_unavailable')
  t.equal(client.state.status, 'signed-in')
  await world.until(client.endSession('ada-0'))
  t.equal(client.state.status, 'signed-out')
  t.same(seen, ['DELETE /sessions/a%2Fb', 'DELETE /sessions/lost', 'POST /logout'])
})

t.test('a call that fails is not reported as a sign-out', async (t) => {
  const { world, tab } = await signedIn()
  world.issuer.instead.push(problem(503, 'store_unavailable'))
  await refuses(t, world.until(tab.client.user()), 'store_unavailable')
  world.fate = () => 'request lost'
  await refuses(t, world.until(tab.client.user()), 'issuer_unreachable')
  await refuses(t, world.until(tab.client.logoutEverywhere()), 'issuer_unreachable')
  t.equal(tab.client.state.status, 'signed-in', 'the other devices are not signed out either')
})

t.test('fetch and getAccessToken are bound', async (t) => {
  const { world, tab } = await signedIn()
  const { fetch, getAccessToken } = tab.client
  t.equal((await world.until(fetch(me))).status, 200)
  t.equal(await world.until(getAccessToken()), 'token-0')
})
