import t, { type Test } from 'tap'
import { createVerifier } from '../../../src/verifier/index.ts'
import {
  audience,
  claimsWith,
  issuer,
  makeKey,
  mint,
  now_s,
  TestClock,
} from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { captureDelays, follow, openFollowing } from './harness.ts'

// Each test waits for polls of its own verifier.
t.jobs = 4

t.test('without a stream it polls, and hears within an interval', { buffered: true }, async (t) => {
  for (const status of [404, 429, 500, 503]) {
    const { feed, answer, untilState, ...one } = await openFollowing(t)
    feed.onStream = (_request, response) => response.writeHead(status).end()
    await untilState('polling')
    await one.untilError(new RegExp(`status ${status}`))
    await feed.add('session', 'session-1')
    await until('it is polled', async () => (await answer()) === 'token_revoked')
    t.equal(one.status().state, 'polling')
    await one.verifier.close()
  }
})

t.test('it polls alone when told to', { buffered: true }, async (t) => {
  const { feed, answer, untilState } = await openFollowing(t, { stream: false })
  await untilState('polling')
  await feed.add('session', 'session-1')
  await until('it is polled', async () => (await answer()) === 'token_revoked')
  t.same(feed.streamsFrom, [])
})

/** Fails the next look at the list, as an issuer does that dies; and what a verifier then starts with. */
async function openFailing(t: Test, failuresMax: number) {
  const { key, feed, clock } = await openFollowing(t)
  await feed.add('session', 'session-1')
  let failures = 0
  feed.onSnapshot = (_request, response) => {
    failures += 1
    response.writeHead(503).end()
    if (failures === failuresMax) feed.onSnapshot = null
  }
  const started = follow(t, feed, clock, [key.publicJwk], { stream: false })
  return { ...started, feed, failures: () => failures }
}

t.test(
  'who starts while an issuer dies has the list before it is ready',
  { buffered: true },
  async (t) => {
    const { verifier, answer, failures } = await openFailing(t, 1)
    await verifier.ready()
    t.equal(failures(), 1)
    t.equal(await answer(), 'token_revoked')
  },
)

t.test('the first token waits for the list', { buffered: true }, async (t) => {
  const { answer, failures } = await openFailing(t, 2)
  t.equal(await answer(), 'token_revoked')
  t.equal(failures(), 2)
})

t.test('who cannot wait is told to come again', { buffered: true }, async (t) => {
  const { verifier, feed, answer } = await openFailing(t, 1)
  const token = mint(feed.key, { payload: claimsWith({ sid: 'session-2' }) })
  t.throws(() => verifier.verifySync(token), { code: 'revocations_stale' })
  await until('the list is there', async () => verifier.status().revocations?.isLoaded === true)
  t.match(verifier.verifySync(token), { sid: 'session-2' })
  t.equal(await answer(), 'token_revoked')
})

t.test(
  'a list of another kind that never comes refuses who cannot wait, and no more',
  { buffered: true },
  async (t) => {
    const key = makeKey('ES256')
    const ready = () => Promise.reject(new Error('it never comes'))
    const verifier = createVerifier({
      issuer,
      audience,
      jwks: { keys: [key.publicJwk] },
      clock: new TestClock(),
      revocations: { isRevoked: () => false, isPending: true, ready },
    })
    // An unhandled rejection would end this process.
    t.throws(() => verifier.verifySync(mint(key)), { code: 'revocations_stale' })
    await t.rejects(verifier.verify(mint(key)), { code: 'internal_error' })
  },
)

t.test(
  'who starts while no issuer is there is ready all the same',
  { buffered: true },
  async (t) => {
    const { verifier, answer, failures } = await openFailing(t, Number.POSITIVE_INFINITY)
    await verifier.ready()
    t.ok(failures() > 1)
    t.equal(await answer(), 'accepted')
  },
)

t.test('Retry-After delays the next stream and the next poll', { buffered: true }, async (t) => {
  const delays = captureDelays(t)
  const { feed, untilState } = await openFollowing(t)
  await untilState('streaming')
  feed.onStream = (_request, response) => response.writeHead(503, { 'retry-after': '60' }).end()
  feed.onSnapshot = (_request, response) => response.writeHead(429, { 'retry-after': '60' }).end()
  feed.cut()
  for (const file of ['event-stream.ts', 'snapshot-poller.ts']) {
    await until(`${file} waits`, () => delays(file).some((ms) => ms >= 60_000))
  }
})

t.test(
  'a stream that is silent, from whenever, is given up for polls',
  { buffered: true },
  async (t) => {
    t.jobs = 4
    for (const silentFrom of ['start', 'headers', 'heartbeat', 'drops'] as const) {
      t.test(silentFrom, { buffered: true }, async (t) => {
        const { feed, answer, ...one } = await openFollowing(t, { streamTimeoutSeconds: 1 })
        feed.onStream = (_request, response) => {
          if (silentFrom === 'start') return
          response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
          if (silentFrom === 'heartbeat') response.write(':\n\n')
          if (silentFrom !== 'drops') return
          const drops = setInterval(() => response.write('x'), 50)
          response.on('close', () => clearInterval(drops))
        }
        await one.untilError(/nothing was received on the stream for 1000 ms/)
        await one.untilState('polling')
        await feed.add('session', 'session-1')
        await until('it is polled', async () => (await answer()) === 'token_revoked')
        feed.onStream = null
        await one.untilState('streaming')
      })
    }
  },
)

t.test(
  'a feed that is gone and comes back, while things happened',
  { buffered: true },
  async (t) => {
    const { feed, answer, untilState, status } = await openFollowing(t)
    await feed.add('session', 'session-0')
    await untilState('streaming')
    const { port } = feed
    await feed.close()
    await untilState('down')
    t.equal(await answer({ sid: 'session-0' }), 'token_revoked', 'what it knows still counts')
    t.equal(await answer(), 'accepted', 'and it fails open')
    await feed.add('session', 'session-1')
    await feed.listen(port)
    await untilState('streaming')
    await until('the missed one', async () => (await answer()) === 'token_revoked')
    t.equal(status().lastError, null)
  },
)

t.test(
  'failClosed: a list that is too old refuses, by the clock',
  { buffered: true },
  async (t) => {
    const { feed, clock, answer, untilState, status } = await openFollowing(t)
    const failClosed = { failClosed: { maxStalenessSeconds: 30 } }
    const strict = () => answer({}, feed.key, failClosed)
    await untilState('streaming')
    t.equal(await strict(), 'accepted')
    feed.onSnapshot = (_request, response) => response.writeHead(500).end()
    feed.onStream = (_request, response) => response.writeHead(500).end()
    feed.cut()
    await untilState('down')
    clock.advance_s(30)
    t.equal(status().lagSeconds, 30)
    t.equal(await strict(), 'accepted')
    clock.advance_s(1)
    t.equal(await strict(), 'revocations_stale')
    t.equal(await answer(), 'accepted', 'a route that fails open')
    feed.onSnapshot = null
    await until('a poll', async () => (await strict()) === 'accepted')
  },
)

t.test(
  'failClosed: before the first snapshot, and when time goes back, nothing is recent',
  { buffered: true },
  async (t) => {
    const { feed, clock, answer, untilState } = await openFollowing(t, {
      streamTimeoutSeconds: 300,
    })
    const strict = () => answer({ iat: now_s - 100 }, feed.key, { failClosed: true })
    feed.onSnapshot = (_request, response) => response.writeHead(500).end()
    await untilState('down')
    t.equal(await strict(), 'revocations_stale')
    feed.onSnapshot = null
    await untilState('streaming')
    await until('it is current', async () => (await strict()) === 'accepted')
    clock.advance_s(-4)
    t.equal(await strict(), 'accepted', 'within the tolerance')
    clock.advance_s(-60)
    t.equal(await strict(), 'revocations_stale')
    feed.heartbeat()
    await until('a heartbeat', async () => (await strict()) === 'accepted')
  },
)

t.test(
  'a snapshot is as old as the issuer says, who may not read its log',
  { buffered: true },
  async (t) => {
    const { feed, clock, answer, untilState, status } = await openFollowing(t, { stream: false })
    feed.readAt_s = now_s - 100
    await untilState('polling')
    await until('it is loaded', () => status().isLoaded)
    t.equal(status().lagSeconds, 95, 'less the tolerance')
    t.equal(await answer({}, feed.key, { failClosed: true }), 'revocations_stale')
    feed.readAt_s = now_s + 3
    await feed.add('session', 'session-2')
    await until('a newer one', async () => {
      return (await answer({}, feed.key, { failClosed: true })) === 'accepted'
    })
    t.equal(status().lagSeconds, 0)
    clock.advance_s(1)
  },
)

t.test('the verifiers of one feed reconnect at random times', { buffered: true }, async (t) => {
  const { feed, clock, key, untilState } = await openFollowing(t)
  const others = Array.from({ length: 8 }, () => follow(t, feed, clock, [key.publicJwk]))
  await Promise.all([untilState('streaming'), ...others.map((one) => one.untilState('streaming'))])
  const delays = captureDelays(t)
  feed.onStream = (_request, response) => response.writeHead(503).end()
  feed.cut()
  // The other timers of the file end silent streams, after 12 seconds.
  const pauses = () => delays('event-stream.ts').filter((ms) => ms < 12_000)
  await until('all wait', () => pauses().length >= 9)
  const first = pauses().slice(0, 9)
  t.ok(first.every((ms) => ms >= 50))
  t.ok(new Set(first).size > 1, first.join())
})

t.test(
  'what is signed by a key that nobody publishes is not taken in',
  { buffered: true },
  async (t) => {
    const { feed, key, answer, untilState, untilError } = await openFollowing(t)
    await untilState('streaming')
    feed.key = makeKey('ES256', 'unknown')
    await feed.add('session', 'session-1')
    await untilError(/unknown key/)
    t.equal(await answer({}, key), 'accepted')
  },
)
