import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Exchanger } from '../../bench/old/surge/client/exchange.ts'
import { HeldSession } from '../../bench/old/surge/client/held-session.ts'
import { createAsk, triesMax } from '../../bench/old/surge/client/patience.ts'
import { Recorder } from '../../bench/old/surge/load/recorder.ts'
import { watchSignOut } from '../../bench/old/surge/load/sign-out-watch.ts'
import { Visitor } from '../../bench/old/surge/load/visitor.ts'
import type { Answer, Ask, ClientScheme, Session } from '../../bench/old/surge/system.ts'

async function listen(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const get = { method: 'GET', path: '/', isRepeatable: true } as const
const refused: Answer = { status: 401, headers: {}, body: {} }
const away: Answer = { status: 503, headers: {}, body: {} }

t.test('what may pass is asked again, and no more often than a browser has patience', async (t) => {
  const statuses = [503, 200]
  let asked = 0
  const url = await listen(t, (request, response) => {
    asked++
    response.statusCode = request.url === '/never' ? 502 : (statuses.shift() ?? 500)
    response.end('{}')
  })
  const exchanger = new Exchanger(url, 2)
  t.teardown(() => exchanger.close())
  const heard: boolean[] = []
  const ask = createAsk(
    exchanger,
    { answered: (_call, _exchange, isRepeat) => heard.push(isRepeat) },
    {},
  )
  t.match(await ask(get), { status: 200 })
  t.same(heard, [false, true])
  t.match(await ask(get), { status: 500 }, 'any other answer is final')
  t.match(await ask({ ...get, path: '/never', isRepeatable: false }), { status: 502 })
  t.equal(asked, 4)
  const impatient = createAsk(exchanger, { answered: () => {} }, {}, 1)
  t.match(await impatient({ ...get, path: '/never' }), { status: 502 })
  t.equal(asked, 5)
  t.ok(triesMax > 1)
})

t.test('an answer can get lost on purpose, after it was given', async (t) => {
  let asked = 0
  const url = await listen(t, (_request, response) => {
    asked++
    response.end()
  })
  const exchanger = new Exchanger(url, 1)
  t.teardown(() => exchanger.close())
  const exchange = await exchanger.send({ ...get, lossShare: 1 }, {})
  t.match(exchange, { status: 0, reason: 'lost on the way' })
  t.equal(asked, 1)
  const closed = new Exchanger('http://127.0.0.1:9', 1)
  t.match(await closed.send(get, {}), { status: 0, reason: 'ECONNREFUSED' })
})

/** @param answers what each renewal gets; the last one again and again */
function hold(answers: readonly (Session | Answer)[], life_ms: number | null) {
  const keys: string[] = []
  const scheme: ClientScheme = {
    login: async () => refused,
    logout: async () => refused,
    async refresh(_ask, _session, key) {
      keys.push(key)
      return answers[Math.min(keys.length, answers.length) - 1] ?? refused
    },
  }
  let renewals = 0
  const first = { session: sessionOf(life_ms, 'first'), bornMs: performance.now() }
  const options = { lossShare: 0, renewed: () => void renewals++ }
  const held = new HeldSession(scheme, async () => refused, first, options)
  return { held, keys, renewals: () => renewals }
}

function sessionOf(life_ms: number | null, secret: string): Session {
  return { headers: {}, life_ms, secret }
}

t.test('a session is renewed before its end, while it goes on being used', async (t) => {
  const { held, keys, renewals } = hold([sessionOf(60_000, 'second')], 150)
  t.equal(await held.ensure(), 'renewed')
  t.equal(keys.length, 0, 'it is young')
  await sleep(110)
  t.equal(await held.ensure(), 'renewed')
  t.equal(keys.length, 1, 'a third of its life is left')
  await held.settled()
  t.equal(held.session.secret, 'second')
  t.equal(renewals(), 1)
  t.ok(held.ageMs < 100)
})

t.test('one renewal at a time, with one key until it is heard', async (t) => {
  const { held, keys } = hold([away, away, sessionOf(1000, 'second'), sessionOf(1000, 'third')], 1)
  await sleep(2)
  t.same(await Promise.all([held.ensure(), held.ensure()]), ['failed', 'failed'])
  t.equal(keys.length, 1)
  t.equal(await held.renew(), 'failed')
  t.equal(await held.renew(), 'renewed')
  t.equal(new Set(keys).size, 1, 'the same attempt')
  t.equal(await held.renew(), 'renewed')
  t.equal(new Set(keys).size, 2)
})

t.test('who is refused is over, and so is who can not renew', async (t) => {
  t.equal(await hold([refused], 1000).held.renew(), 'over')
  t.equal(await hold([away], 1000).held.renew(), 'failed')
  const { held, keys } = hold([], null)
  t.equal(await held.ensure(), 'renewed', 'it has no end')
  t.equal(keys.length, 0)
})

t.test(
  'nobody is signed out by an old token that is refused while the next one is here',
  async (t) => {
    const recorder = new Recorder()
    recorder.begin()
    const life_ms = 90
    const scheme: ClientScheme = {
      login: async () => ({ headers: { token: 'old' }, life_ms, secret: '' }),
      logout: async () => refused,
      refresh: async () => ({ headers: { token: 'new' }, life_ms: 60_000, secret: '' }),
    }
    const ask: Ask = async ({ headers }) => {
      await sleep(5)
      return headers?.token === 'new' ? { status: 200, headers: {}, body: { items: [] } } : refused
    }
    const deps = { ask, scheme, recorder, products: [], lossShare: 0 }
    const visitor = new Visitor({ name: 'ada', password: '' }, deps)
    t.equal(await visitor.signIn(), null)
    // The next one is asked for in the background by now.
    await sleep(0.7 * life_ms)
    t.equal(await visitor.checkCart(), null)
    t.equal(recorder.signedOutByReason.sum, 0)
    t.equal(recorder.refreshes, 1)
  },
)

t.test('a sign-out has bitten when every replica refuses, and new ones too', async (t) => {
  const startMs = performance.now()
  const until = (ms: number): RequestListener => {
    return (_request, response) => {
      response.statusCode = performance.now() - startMs < ms ? 200 : 401
      response.end()
    }
  }
  const [soon, late] = [await listen(t, until(0)), await listen(t, until(250))]
  const watch = (guards: () => string[]) =>
    watchSignOut({ headers: {}, guards, lifeMs: 300, signal: new AbortController().signal })
  t.equal(await watch(() => [soon]), 0)
  const asked = performance.now()
  const biteMs = await watch(() => [soon, late])
  t.ok(biteMs <= 250, `${biteMs}`)
  t.ok(performance.now() - asked >= 250, 'it went on until nobody could accept it any more')
  // A replica that knows nothing of the sign-out, and comes later.
  const ignorant = await listen(t, until(Number.POSITIVE_INFINITY))
  let calls = 0
  t.ok((await watch(() => (calls++ < 1 ? [soon] : [soon, ignorant]))) > 0)
})
