import t, { type Test } from 'tap'
import { Exchanger } from '../../bench/old/surge/client/exchange.ts'
import { createAsk } from '../../bench/old/surge/client/patience.ts'
import { rivals } from '../../bench/old/surge/rivals/index.ts'
import {
  type Answer,
  type Ask,
  isSession,
  type RunningSystem,
  type Session,
} from '../../bench/old/surge/system.ts'
import { PasswordHasher } from '../../src/issuer/passwords/password-hasher.ts'

/** Each rival does what a shop does, and loses what it can't help losing, and no more. */

// Most of the time each waits for its sentinels.
t.jobs = rivals.length

const argon2id = { memory_kib: 64, passes: 1, parallelism: 1 }
const accessTtl_s = 30
const users = ['ada', 'eve'].map((name) => ({ name, password: `${name} has a long password` }))
const [ada = { name: '', password: '' }, eve = ada] = users

interface Rival {
  readonly running: RunningSystem
  readonly ask: Ask
  signIn(user?: typeof ada): Promise<Session>
  get(path: string, session: Session): Promise<Answer>
  add(session: Session, product: string): Promise<void>
  /** The products in the cart; a status where it can't be seen. */
  cart(session: Session): Promise<string>
  /** What each replica says when it is asked directly. */
  statuses(session: Session): Promise<number[]>
}

async function start(t: Test, name: string): Promise<Rival> {
  const system = rivals.find((one) => one.name === name)
  if (system === undefined) throw new Error(`there is no ${name}`)
  const ends: (() => Promise<void>)[] = []
  t.teardown(async () => {
    for (const end of ends) await end()
  })
  const hasher = new PasswordHasher(argon2id)
  const running = await system.start({
    options: {
      ...{ isQuick: true, users: users.length, issuers: 2, verifiers: 0, shops: 2, accessTtl_s },
      ...{ lostRefreshes: 0, argon2id, fault: null },
    },
    users,
    // Of one password, as a surge has it.
    passwordHash: await hasher.hash(ada.password),
    bench: {
      options: { rounds: 1, duration_s: 0, warmup_s: 0, connections: 0 },
      cores: null,
      scratch: t.testdir(),
      defer: (end) => void ends.unshift(end),
    },
    tell: () => {},
  })
  ends.unshift(() => running.stop())
  const exchanger = new Exchanger(running.url, 8)
  ends.unshift(async () => exchanger.close())
  return rivalOf(running, createAsk(exchanger, { answered: () => {} }, {}))
}

function rivalOf(running: RunningSystem, ask: Ask): Rival {
  const get: Rival['get'] = (path, { headers }) =>
    ask({ method: 'GET', path, headers, isRepeatable: true })
  return {
    ...{ running, ask, get },
    async signIn(user = ada) {
      const session = await running.scheme.login(ask, { ...user, password: ada.password })
      if (!isSession(session)) throw new Error(`can't sign in: ${JSON.stringify(session)}`)
      return session
    },
    async add({ headers }, product) {
      const body = { product, quantity: 1 }
      const keyed = { ...headers, 'idempotency-key': `add-${product}` }
      for (let time = 0; time < 2; time++) {
        const call = { path: '/cart/items', headers: keyed, body, isRepeatable: true }
        const { status } = await ask({ method: 'POST', ...call })
        if (status !== 200) throw new Error(`an addition was answered with ${status}`)
      }
    },
    async cart(session) {
      const { status, body } = await get('/cart', session)
      if (status !== 200) return String(status)
      const { items } = body as { items: { product: string; quantity: number }[] }
      return items.map(({ product, quantity }) => `${quantity} ${product}`).join(', ')
    },
    async statuses({ headers }) {
      const all = running.guards().map(async (url) => (await fetch(url, { headers })).status)
      return Promise.all(all)
    },
  }
}

/** What is the same in all of them. */
async function shop(t: Test, { ask, get, add, cart, signIn, running }: Rival): Promise<void> {
  const wrong = await running.scheme.login(ask, { ...ada, password: 'wrong' })
  t.match(wrong, { status: 401, body: { code: 'not_signed_in' } }, 'a wrong password')
  t.match(await get('/cart', { headers: {}, life_ms: null, secret: '' }), { status: 401 })
  const session = await signIn()
  const { headers } = session
  t.equal(await cart(session), '')
  await add(session, 'hat')
  await add(session, 'mug')
  t.equal(await cart(session), '1 hat, 1 mug', 'an addition with a key counts once')
  const repeatable = { headers, isRepeatable: true }
  await ask({ method: 'DELETE', path: '/cart/items/mug', ...repeatable })
  const preferences = { language: 'fr', newsletter: true }
  await ask({ method: 'PUT', path: '/preferences', ...repeatable, body: preferences })
  t.match((await get('/preferences', session)).body, preferences)
  const order = await ask({ method: 'POST', path: '/checkout', ...repeatable })
  t.match(order, { status: 201, body: { lines: [{ product: 'hat' }] } })
  t.match((await get('/orders', session)).body, { orders: [{ lines: [{ product: 'hat' }] }] })
  t.equal(await cart(session), '', 'the cart has become an order')
  t.match(await running.scheme.logout(ask, session), { status: 204 })
  t.match(await running.scheme.logout(ask, session), { status: 204 }, 'who is out is out')
}

async function isAccepted(rival: Rival, session: Session): Promise<boolean[]> {
  return (await rival.statuses(session)).map((status) => status === 200)
}

t.test('sticky sessions: who was on a replica that dies loses session and cart', async (t) => {
  const rival = await start(t, 'sticky-sessions')
  await shop(t, rival)
  const { signIn, add, cart, get, running } = rival
  const replicaOf = async (session: Session) => (await get('/cart', session)).headers['x-replica']
  // In turns, so one of the two is on the replica that will die.
  const sessions = [await signIn(ada), await signIn(eve)]
  for (const session of sessions) await add(session, 'hat')
  const places = await Promise.all(sessions.map(replicaOf))
  t.same(places.toSorted(), ['shop-1', 'shop-2'])
  t.equal(await running.act('kill-shop'), 'shop-1 killed')
  for (const [n, session] of sessions.entries()) {
    t.equal(await cart(session), places[n] === 'shop-1' ? '401' : '1 hat')
  }
  t.equal(await running.act('add-shop'), 'shop-3 added')
  t.equal(await cart(sessions[places.indexOf('shop-2')] as Session), '1 hat')
  t.equal(await running.act('rotate-keys'), null, 'no keys')
  t.equal(await running.act('kill-issuer'), null, 'no issuers')
  t.equal(running.scheme.signOutEverywhere, undefined)
  t.equal(running.scheme.refresh, undefined)
})

t.test('sessions in Redis outlive a replica and the primary; a sign-out bites', async (t) => {
  const rival = await start(t, 'redis-sessions')
  await shop(t, rival)
  const { signIn, add, cart, ask, running } = rival
  const [here, there, other] = [await signIn(), await signIn(), await signIn(eve)]
  await add(here, 'hat')
  await running.act('kill-shop')
  t.match(await running.act('fail-over'), /^redis:\d+, the primary$/)
  t.equal(await cart(here), '1 hat')
  await add(here, 'mug')
  t.match(await running.scheme.signOutEverywhere?.(ask, here), { status: 204 })
  t.same(await isAccepted(rival, here), [false])
  t.same(await isAccepted(rival, there), [false])
  t.same(await isAccepted(rival, other), [true])
})

t.test('introspection needs an issuer, any one; a sign-out bites', async (t) => {
  const rival = await start(t, 'introspection')
  await shop(t, rival)
  const { signIn, add, cart, ask, running } = rival
  const [here, there, other] = [await signIn(), await signIn(), await signIn(eve)]
  await add(here, 'hat')
  t.equal(await running.act('kill-issuer'), 'issuer-1 killed')
  t.equal(await running.act('kill-shop'), 'shop-1 killed')
  t.equal(await cart(here), '1 hat')
  t.match(await running.scheme.signOutEverywhere?.(ask, here), { status: 204 })
  t.same(await isAccepted(rival, here), [false])
  t.same(await isAccepted(rival, there), [false])
  t.same(await isAccepted(rival, other), [true])
  await running.act('kill-issuer')
  t.same(await rival.statuses(other), [503], 'who can not ask does not say 401')
})

t.test('@fastify/jwt: a refresh token works once; a sign-out waits for the end', async (t) => {
  const rival = await start(t, 'fastify-jwt')
  await shop(t, rival)
  const { signIn, add, cart, ask, running } = rival
  const { scheme } = running
  const first = await signIn()
  t.equal(first.life_ms, accessTtl_s * 1000)
  t.equal(lifeOf(first), accessTtl_s)
  await add(first, 'hat')
  const second = (await scheme.refresh?.(ask, first, 'key')) as Session
  t.equal(await cart(second), '1 hat')
  t.match(await scheme.refresh?.(ask, first, 'key'), { status: 401 }, 'used up')
  await running.act('kill-issuer')
  await running.act('kill-shop')
  t.equal(await cart(second), '1 hat')
  t.match(await scheme.signOutEverywhere?.(ask, second), { status: 204 })
  t.same(await isAccepted(rival, second), [true], 'as long as the access token is good')
  t.match(await scheme.refresh?.(ask, second, 'key'), { status: 401 })
})

function lifeOf({ headers: { authorization = '' } }: Session): number {
  const [, claims = ''] = authorization.split('.')
  const { iat, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString())
  return exp - iat
}
