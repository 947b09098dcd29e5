import t from 'tap'
import { secretOf, sign } from '../../../examples/user-base/signature.ts'
import { isSigned, keyOfSecret, signatures } from '../../../src/stores/webhook/client.ts'
import { account } from '../../support/accounts.ts'
import { FakeClock } from '../../support/clock.ts'
import { until } from '../../support/until.ts'
import {
  type Handler,
  openStore,
  otherSecret,
  secret,
  signed,
  startUserBase,
  TestUserBase,
} from './support.ts'

const none = { account: null }
const unavailable = { code: 'store_unavailable', status: 503 }

/** Responds in these ways, one after another, and then always in the last way. */
function inTurn(...answers: [Handler, ...Handler[]]): Handler {
  return (request, response) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0]
    answer?.(request, response)
  }
}

const outages: Record<string, Handler> = {
  'status 502': signed({}, { status: 502 }),
  'status 503': signed({}, { status: 503 }),
  'status 504': signed({}, { status: 504 }),
  'a closed connection': (request) => request.socket.destroy(),
}

for (const [what, outage] of Object.entries(outages)) {
  t.test(`after ${what} a read is attempted once more, as a new message`, async (t) => {
    const userBase = await TestUserBase.start(t, inTurn(outage, signed(none)))
    const store = openStore(t, userBase.url)
    t.equal(await store.findByLoginName('ada'), null)
    const [first, second] = userBase.requests
    t.equal(userBase.requests.length, 2)
    t.equal(first?.body, second?.body)
    t.not(first?.id, second?.id)
    userBase.answer = outage
    await t.rejects(store.findBySub('user-1'), unavailable)
    t.equal(userBase.requests.length, 4, 'and no more than once')
  })

  t.test(`after ${what} a write is not: it may have happened`, async (t) => {
    const userBase = await TestUserBase.start(t, outage)
    const store = openStore(t, userBase.url)
    await t.rejects(store.create([account()]), unavailable)
    await t.rejects(store.setPasswordHash('user-1', 'new', 1, 'old'), unavailable)
    await t.rejects(store.setDisabled('user-1', true, 1), unavailable)
    t.equal(userBase.requests.length, 3)
  })
}

t.test('I11: a jump of the clock during a call does not fill the queue', async (t) => {
  const clock = new FakeClock(Date.now())
  const jump: Handler = (request, response) => {
    clock.advanceMs(60_000)
    signed(none)(request, response)
  }
  const userBase = await TestUserBase.start(t, inTurn(jump, signed(none)))
  const store = openStore(t, userBase.url, { clock, maxConcurrent: 1, timeoutMs: 20_000 })
  await store.findByLoginName('ada')
  const burst = Array.from({ length: 10 }, () => store.findByLoginName('ada'))
  await t.resolves(Promise.all(burst))
})

t.test('a call with a response is not repeated', async (t) => {
  const userBase = await TestUserBase.start(t, signed({}, { status: 500 }))
  const store = openStore(t, userBase.url)
  for (const status of [400, 401, 404, 409, 413, 429, 500]) {
    userBase.answer = signed({}, { status })
    const before = userBase.requests.length
    await t.rejects(store.findByLoginName('ada'), unavailable)
    t.equal(userBase.requests.length, before + 1, `status ${status}`)
  }
})

t.test('outages open the circuit breaker, and its probe closes it', async (t) => {
  const clock = new FakeClock(Date.now())
  const userBase = await TestUserBase.start(t, signed({}, { status: 503 }))
  const store = openStore(t, userBase.url, { clock })
  for (let n = 0; n < 5; n++) await t.rejects(store.setDisabled('user-1', true, 1), unavailable)
  t.equal(userBase.requests.length, 5)
  await t.rejects(store.findByLoginName('ada'), { ...unavailable, message: /not responding/ })
  const cause = { message: 'the response has status 503' }
  await t.rejects(store.ping(), { ...unavailable, retryAfterSeconds: 1, cause })
  t.equal(userBase.requests.length, 5, 'calls are blocked')

  clock.advance_s(1)
  userBase.answer = signed({}, { status: 502 })
  cause.message = 'the response has status 502'
  await t.rejects(store.findByLoginName('ada'), { ...unavailable, cause })
  t.equal(userBase.requests.length, 6, 'the probe is not repeated')
  await t.rejects(store.ping(), unavailable)

  clock.advance_s(2)
  userBase.answer = signed(none)
  t.equal(await store.findByLoginName('ada'), null)
  t.equal(await store.findByLoginName('bob'), null)
})

t.test('a silent user base opens the circuit breaker', async (t) => {
  const userBase = await TestUserBase.start(t, () => {})
  const store = openStore(t, userBase.url, { timeoutMs: 50 })
  await Promise.all(Array.from({ length: 5 }, () => t.rejects(store.ping(), unavailable)))
  const isBlocked = () =>
    store.ping().catch(({ message }: Error) => message.includes('is not responding; calls are'))
  await until('calls are blocked', async () => (await isBlocked()) === true)
})

t.test('a login name that fails at the user base does not block others', async (t) => {
  const userBase = await TestUserBase.start(t, (request, response) => {
    const answer = request.body.includes('odd') ? signed({}, { status: 500 }) : signed(none)
    answer(request, response)
  })
  const store = openStore(t, userBase.url)
  for (let n = 0; n < 50; n++) await t.rejects(store.findByLoginName('odd'), unavailable)
  t.equal(await store.findByLoginName('ada'), null)
})

t.test('concurrent calls are limited: a burst waits, a flood is refused', async (t) => {
  const { promise: arrived, resolve } = Promise.withResolvers<() => void>()
  const userBase = await TestUserBase.start(t, (request, response) => {
    resolve(() => signed(none)(request, response))
  })
  const store = openStore(t, userBase.url, { maxConcurrent: 1, maxQueued: 3 })
  const calls = Array.from({ length: 4 }, (_, n) => store.findBySub(`user-${n}`))
  const release = await arrived
  await t.rejects(store.ping(), { ...unavailable, message: /too many calls/ })
  t.equal(userBase.requests.length, 1)
  userBase.answer = signed(none)
  release()
  t.strictSame(await Promise.all(calls), [null, null, null, null])
  t.strictSame(
    userBase.requests.map(({ body }) => JSON.parse(body).data.sub),
    ['user-0', 'user-1', 'user-2', 'user-3'],
    'in their turn',
  )
  userBase.answer = signed({})
  await store.ping()
})

t.test('a queued call waits no longer than its deadline', async (t) => {
  const userBase = await TestUserBase.start(t, () => {})
  const store = openStore(t, userBase.url, { maxConcurrent: 1, maxQueued: 1, timeoutMs: 100 })
  const late = { ...unavailable, message: /no full response within 100 ms|too many calls/ }
  await Promise.all([t.rejects(store.ping(), late), t.rejects(store.ping(), late)])
  userBase.answer = signed({})
  const isAnswered = () =>
    store.ping().then(
      () => true,
      () => false,
    )
  await until('a call is answered again', isAnswered)
})

t.test('close() waits for calls in progress', async (t) => {
  const userBase = await TestUserBase.start(t, signed(none))
  const store = openStore(t, userBase.url)
  t.equal(await store.findByLoginName('eve'), null)
  const releases: (() => void)[] = []
  userBase.answer = (request, response) => {
    releases.push(() => signed(none)(request, response))
  }
  const calls = ['ada', 'bob'].map((name) => store.findByLoginName(name))
  await until('both calls have arrived', () => releases.length === 2)
  let isClosed = false
  const closed = store.close().then(() => {
    isClosed = true
  })
  await t.rejects(store.ping(), { ...unavailable, message: /closed/ })
  t.notOk(isClosed)
  releases[0]?.()
  t.equal(await Promise.race(calls), null)
  t.notOk(isClosed, 'a call is still in progress')
  releases[1]?.()
  t.same(await Promise.all(calls), [null, null])
  await closed
})

t.test('either side can change its secrets first', async (t) => {
  const secrets = [otherSecret, secret]
  const old = await startUserBase(t)
  const both = await startUserBase(t, { secrets })
  const fresh = await startUserBase(t, { secrets: [otherSecret] })
  for (const { url } of [old, both, fresh]) await openStore(t, url, { secrets }).ping()
  await openStore(t, both.url, { secrets: [secret] }).ping()
  await openStore(t, both.url, { secrets: [otherSecret] }).ping()
  await t.rejects(openStore(t, fresh.url, { secrets: [secret] }).ping(), unavailable)
  await t.rejects(openStore(t, old.url, { secrets: [] }).ping(), unavailable)
})

const message = { id: 'msg_1', timestamp: '1795478400', body: '{"type":"ping","data":{}}' }
const nowMs = 1_795_478_400_000
const [key, otherKey] = [keyOfSecret(secret), keyOfSecret(otherSecret)]

t.test('signs as Standard Webhooks does', async (t) => {
  // A test vector of the Standard Webhooks libraries.
  const example = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: '1614265330',
    body: '{"test": 2432232314}',
  }
  const exampleKey = keyOfSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  const expected = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
  t.equal(signatures(example, [exampleKey]), expected)
  t.ok(isSigned(example, expected, [exampleKey]))
  const body = Buffer.from(example.body)
  t.equal(sign({ ...example, body }, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'), expected)
})

t.test('each key signs, and each signature is accepted', async (t) => {
  const both = signatures(message, [key, otherKey])
  t.equal(both.split(' ').length, 2)
  t.ok(isSigned(message, both, [key]))
  t.ok(isSigned(message, both, [otherKey]))
  t.ok(isSigned(message, signatures(message, [otherKey]), [key, otherKey]))
  t.notOk(isSigned(message, signatures(message, [otherKey]), [key]))
  t.notOk(isSigned(message, both, []))
})

t.test('no signed part can be changed', async (t) => {
  const good = signatures(message, [key])
  t.ok(isSigned(message, good, [key]))
  t.notOk(isSigned({ ...message, id: 'msg_2' }, good, [key]))
  t.notOk(isSigned({ ...message, timestamp: '1795478401' }, good, [key]))
  t.notOk(isSigned({ ...message, body: `${message.body} ` }, good, [key]))
  for (const bad of ['', 'v1,', good.slice(0, -1), good.replace('v1,', 'v1a,'), good.slice(3)]) {
    t.notOk(isSigned(message, bad, [key]), bad)
  }
})

t.test('a signature fits one message only', async (t) => {
  const good = signatures({ ...message, body: '1.{}' }, [key])
  const moved = { ...message, timestamp: `${message.timestamp}.1`, body: '{}' }
  t.equal(signatures(moved, [key]), good, 'it is the same text')
  t.notOk(isSigned(moved, good, [key]))
})

t.test('the sample server accepts our signatures within five minutes', async (t) => {
  const body = Buffer.from(message.body)
  const check = (changes: object, atMs = nowMs, secrets = [secret]) =>
    secretOf({ ...message, body, ...changes }, signatures(message, [key]), secrets, atMs)
  t.equal(check({}), secret)
  t.equal(check({}, nowMs, [otherSecret, secret]), secret)
  t.equal(check({}, nowMs + 300_000), secret)
  t.equal(check({}, nowMs - 300_000), secret)
  t.equal(check({}, nowMs + 301_000), undefined)
  t.equal(check({}, nowMs - 301_000), undefined)
  t.equal(check({}, nowMs, [otherSecret]), undefined)
  t.equal(check({ body: Buffer.from('{}') }), undefined)
  for (const id of ['', 'msg_2', 'msg_1.', 'x'.repeat(65)]) t.equal(check({ id }), undefined, id)
  for (const timestamp of ['', '1e9', '1795478400.0', 'NaN', '-1']) {
    t.equal(check({ timestamp }), undefined, timestamp)
  }
})
