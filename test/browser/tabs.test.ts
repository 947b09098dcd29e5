import t from 'tap'
import { problem } from './fake-issuer.ts'
import { issuerUrl, settle, World } from './world.ts'

const me = `${issuerUrl}/me`
const ada = { username: 'ada', password: 'right' }

async function withTabs(count: number, world = new World()) {
  const tabs = Array.from({ length: count }, () => world.open())
  const [first = world.open()] = tabs
  await world.until(first.client.login(ada))
  await world.advance(10)
  return { world, tabs, first }
}

t.test('a sign-in in one tab signs in all tabs without a request', async (t) => {
  const { world, tabs } = await withTabs(5)
  for (const { client } of tabs) t.equal(await world.until(client.getAccessToken()), 'token-0')
  t.same(world.issuer.log, ['login ada-0'])
})

t.test('five tabs that need a token share one refresh', async (t) => {
  const { world, tabs } = await withTabs(5)
  await world.advance(400_000)
  const tokens = tabs.map(({ client }) => client.getAccessToken())
  t.same(new Set(await world.until(Promise.all(tokens))), new Set(['token-1']))
  t.same(world.issuer.log, ['login ada-0', 'refresh rotated'])
})

t.test('a call goes on once another tab has shared its result, before its own turn', async (t) => {
  const { world, tabs } = await withTabs(5)
  world.lockKeptMs = 1_000
  for (const expected of ['token-1', null]) {
    await world.advance(400_000)
    if (expected === null) world.issuer.end('ada-0')
    const beforeMs = world.nowMs
    const tokens = tabs.map(({ client }) => client.getAccessToken())
    t.same(new Set(await world.until(Promise.all(tokens))), new Set([expected]))
    t.ok(world.nowMs - beforeMs < 100, `after ${world.nowMs - beforeMs} ms`)
  }
})

t.test('a sign-out reaches the other tabs and their pending calls', async (t) => {
  const { world, tabs, first } = await withTabs(3)
  const [, second, third] = tabs
  await world.advance(400_000)
  const token = second?.client.getAccessToken()
  await settle()
  await world.until(first.client.logout())
  await world.until(Promise.resolve(token))
  await world.advance(1_000)
  for (const tab of [first, second, third]) t.equal(tab?.client.state.status, 'signed-out')
  t.same(world.issuer.liveSessions, [])
  t.equal(await world.until(world.open().client.getAccessToken()), null)
})

t.test('a page that only signs out reaches a busy tab, when it is confirmed', async (t) => {
  const { world, first } = await withTabs(1)
  first.freeze()
  await world.until(world.open().client.logout())
  t.same([...world.items], [], 'nothing tells the busy tab of the sign-out but the message')
  first.thaw()
  t.equal(first.client.state.status, 'signed-out')
})

t.test('an unconfirmed sign-out holds, and reaches the issuer later', async (t) => {
  const { world, first } = await withTabs(1)
  world.fate = () => 'request lost'
  await t.rejects(world.until(first.client.logout()), { code: 'issuer_unreachable' })
  t.equal(first.client.state.status, 'signed-out')
  t.same(world.issuer.liveSessions, ['ada-0'])
  first.kill()
  const next = world.open()
  t.equal(
    await world.until(next.client.getAccessToken()),
    null,
    'nor does a new page sign in again',
  )
  t.equal(next.client.state.status, 'signed-out')
  world.fate = () => 'fine'
  next.wake(false)
  await world.advance(1_000)
  t.same(world.issuer.liveSessions, [])
  t.notOk(world.issuer.log.some((line) => line.startsWith('refresh')))
})

t.test('a page that finds an unconfirmed sign-out confirms it', async (t) => {
  const { world, first } = await withTabs(1)
  world.fate = () => 'request lost'
  await t.rejects(world.until(first.client.logout()), { code: 'issuer_unreachable' })
  first.kill()
  world.fate = () => 'fine'
  t.equal(await world.until(world.open().client.getAccessToken()), null)
  t.same(world.issuer.liveSessions, [])
  t.same([...world.items], [], 'nothing is left')
})

t.test('a token that is on its way does not undo a sign-out', async (t) => {
  for (const caller of ['the same tab', 'another tab', 'a new page']) {
    const { world, first, tabs } = await withTabs(2)
    await world.advance(400_000)
    const tab = { 'the same tab': first, 'another tab': tabs[1] }[caller] ?? world.open()
    world.latencyMs = 1_000
    const token = tab.client.getAccessToken()
    await world.advance(1.5 * world.latencyMs)
    t.equal(world.issuer.log.at(-1), 'refresh rotated', 'the issuer has answered')
    world.latencyMs = 20
    await world.until(first.client.logout())
    await world.advance(1_000)
    await token
    t.equal(tab.client.state.status, 'signed-out', caller)
    t.equal(tab.heard.at(-1), 'signed-out')
    t.equal(tab.heard.filter((status) => status === 'signed-out').length, 1, 'once')
    t.equal(await world.until(tab.client.getAccessToken()), null)
  }
})

t.test('a message that arrives late does not undo a sign-out or a refresh', async (t) => {
  const { world, first, tabs } = await withTabs(2)
  const [, second] = tabs
  const late: unknown[] = []
  const receive = second?.receive.bind(second)
  const refresh = async () => {
    await world.advance(400_000)
    await world.until(first.client.getAccessToken())
    await world.advance(10)
  }
  if (second) second.receive = (message) => late.push(message)
  await refresh()
  if (second && receive) second.receive = receive
  await refresh()
  t.equal(late.length, 1)
  for (const message of late) receive?.(message)
  t.equal(await second?.client.getAccessToken(), 'token-2')
  await world.until(first.client.logout())
  t.same([...world.items], [], 'the sign-out is confirmed')
  for (const message of late) receive?.(message)
  t.equal(second?.client.state.status, 'signed-out')
})

t.test('a refusal that is on its way does not end a newer session', async (t) => {
  const { world, first, tabs } = await withTabs(2)
  world.hasLocks = false
  await world.advance(400_000)
  world.issuer.end('ada-0')
  world.latencyMs = 1_000
  const token = first.client.getAccessToken()
  await world.advance(1.5 * world.latencyMs)
  world.latencyMs = 20
  await world.until(tabs[1]?.client.login({ ...ada, username: 'bob' }) ?? Promise.reject())
  const { cookie } = world
  await world.until(token)
  world.cookie = cookie
  for (const { client } of tabs) t.match(client.state, { sessionId: 'bob-1' })
})

t.test('only the issuer confirms a sign-out, not a server in front of it', async (t) => {
  const { world, first } = await withTabs(1)
  world.issuer.instead.push({ status: 401 })
  await t.rejects(world.until(first.client.logout()), { code: 'issuer_unreachable' })
  t.same(world.issuer.liveSessions, ['ada-0'])
  world.issuer.end('ada-0')
  world.issuer.instead.push(problem(401, 'token_revoked'))
  await world.until(first.client.logout())
  t.same([...world.items], [], 'nothing is left')
})

t.test('a sign-in after an unconfirmed sign-out is kept', async (t) => {
  const { world, first } = await withTabs(1)
  world.fate = () => 'request lost'
  await t.rejects(world.until(first.client.logout()))
  world.fate = () => 'fine'
  await world.until(first.client.login({ ...ada, username: 'bob' }))
  t.same(world.issuer.liveSessions, ['bob-1'])
  await world.advance(400_000)
  t.equal((await world.until(first.client.fetch(me))).status, 200)
})

t.test('a sign-in waits for one attempt of an unconfirmed sign-out', async (t) => {
  const { world, first } = await withTabs(1)
  world.fate = ({ url }) => (url.endsWith('/logout') ? 'request lost' : 'fine')
  await t.rejects(world.until(first.client.logout()))
  const sent: string[] = []
  world.fate = ({ url }) => {
    sent.push(new URL(url).pathname)
    return url.endsWith('/logout') ? 'request lost' : 'fine'
  }
  await world.until(first.client.login({ ...ada, username: 'bob' }))
  t.same(sent, ['/logout', '/login'])
})

t.test('a response to a sign-out that arrives late does not undo the next sign-in', async (t) => {
  for (const signsIn of ['the same tab', 'another tab']) {
    const { world, first, tabs } = await withTabs(2)
    world.latencyMs = 1_000
    const signedOut = first.client.logout()
    await world.advance(100)
    world.latencyMs = 20
    const tab = (signsIn === 'another tab' && tabs[1]) || first
    await world.until(tab.client.login({ ...ada, username: 'bob' }))
    await world.until(signedOut)
    await world.advance(400_000)
    t.equal((await world.until(tab.client.fetch(me))).status, 200, signsIn)
  }
})

t.test('sign-out on all devices', async (t) => {
  const { world, tabs, first } = await withTabs(2)
  const { cookie } = world
  await world.until(world.open().client.login(ada))
  world.cookie = cookie
  t.same(world.issuer.liveSessions, ['ada-0', 'ada-1'])
  await world.until(first.client.logoutEverywhere())
  await world.advance(10)
  for (const { client } of tabs) t.equal(client.state.status, 'signed-out')
  t.same(world.issuer.liveSessions, [])
})

t.test('a sign-in of another user in one tab changes all tabs', async (t) => {
  const { world, tabs } = await withTabs(3)
  const [, second, third] = tabs
  await world.until(second?.client.login({ ...ada, username: 'bob' }) ?? Promise.reject())
  await world.advance(10)
  t.match(third?.client.state, { sessionId: 'bob-1' })
})

t.test('a page that is opened a day later gets a lost response by its key', async (t) => {
  const { world, first } = await withTabs(1)
  await world.advance(400_000)
  world.fate = () => 'answer lost'
  const lost = first.client.getAccessToken()
  await world.advance(100)
  first.kill()
  lost.catch(() => {})
  await world.advance(86_400_000)
  world.fate = () => 'fine'
  t.type(await world.until(world.open().client.getAccessToken()), 'string')
  t.same(world.issuer.log, ['login ada-0', 'refresh rotated', 'refresh replayed'])
  t.equal(new Set(world.issuer.keys).size, 1)
})

t.test('each refresh has its own key', async (t) => {
  const { world, first } = await withTabs(1)
  for (let n = 0; n < 3; n++) {
    await world.advance(400_000)
    await world.until(first.client.getAccessToken())
  }
  await world.until(first.client.login(ada))
  await world.advance(400_000)
  await world.until(first.client.getAccessToken())
  t.equal(new Set(world.issuer.keys).size, 4)
})

t.test('a tab that is killed with the lock blocks no other tab', async (t) => {
  const { world, tabs, first } = await withTabs(2)
  await world.advance(400_000)
  world.fate = () => 'answer lost'
  first.client.getAccessToken().catch(() => {})
  await world.advance(30)
  world.fate = () => 'fine'
  const token = tabs[1]?.client.getAccessToken()
  await world.advance(100)
  t.equal(world.holder, first)
  first.kill()
  const beforeMs = world.nowMs
  t.type(await world.until(token ?? Promise.reject()), 'string')
  t.ok(world.nowMs - beforeMs < 100)
})

t.test('a tab that is frozen with the lock blocks others for 5 seconds', async (t) => {
  const { world, tabs, first } = await withTabs(2)
  await world.advance(400_000)
  const frozen = first.client.getAccessToken()
  await world.advance(10)
  first.freeze()
  const beforeMs = world.nowMs
  t.type(await world.until(tabs[1]?.client.getAccessToken() ?? Promise.reject()), 'string')
  t.ok(world.nowMs - beforeMs < 5_200)
  await world.advance(3_600_000)
  t.equal((await world.until(tabs[1]?.client.fetch(me) ?? Promise.reject())).status, 200)
  first.thaw()
  await world.until(frozen)
  t.equal((await world.until(first.client.fetch(me))).status, 200)
  t.notOk(world.issuer.log.includes('refresh reused'))
})

t.test(
  'a frozen tab receives a sign-out when it thaws; a cached tab asks the issuer',
  async (t) => {
    const { world, tabs, first } = await withTabs(3)
    const [, frozen, cached] = tabs
    frozen?.freeze()
    if (cached) cached.receive = () => {}
    await world.until(first.client.logout())
    await world.advance(3_600_000)
    frozen?.thaw()
    t.equal(frozen?.client.state.status, 'signed-out')
    t.equal(cached?.client.state.status, 'signed-in')
    cached?.wake(true)
    await world.advance(1_000)
    t.equal(cached?.client.state.status, 'signed-out')
  },
)

t.test('a cached tab without a session notices a sign-in', async (t) => {
  const { world, tabs, first } = await withTabs(2)
  const [, cached] = tabs
  await world.until(first.client.logout())
  await world.advance(10)
  t.equal(cached?.client.state.status, 'signed-out')
  // No message reaches a page in the back/forward cache.
  if (cached) cached.receive = () => {}
  await world.until(first.client.login(ada))
  cached?.wake(true)
  await world.advance(1_000)
  t.match(cached?.client.state, { status: 'signed-in', sessionId: 'ada-1' })
  t.type(await world.until(cached?.client.getAccessToken() ?? Promise.reject()), 'string')
})

t.test('a tab that returns asks again after a refresh that was answered before', async (t) => {
  const { world, first } = await withTabs(1)
  await world.advance(400_000)
  first.client.getAccessToken().catch(() => {})
  // The issuer has answered, and the response is on its way.
  await world.advance(1.5 * world.latencyMs)
  t.same(world.issuer.log, ['login ada-0', 'refresh rotated'])
  for (const sid of world.issuer.liveSessions) world.issuer.end(sid)
  first.wake(true)
  await world.advance(1_000)
  t.equal(first.client.state.status, 'signed-out')
})

t.test('everything works without locks and storage', async (t) => {
  const world = new World()
  world.hasLocks = false
  world.hasStorage = false
  const { tabs } = await withTabs(5, world)
  for (let n = 0; n < 20; n++) {
    await world.advance(400_000)
    const tokens = tabs.map(({ client }) => client.getAccessToken())
    for (const token of await world.until(Promise.all(tokens))) t.type(token, 'string')
  }
  t.notOk(world.issuer.log.includes('refresh reused'))
})
