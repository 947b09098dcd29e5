import t, { type Test } from 'tap'
import { createVerifier } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { follow, openFollowing } from './harness.ts'

// Each test waits for polls of its own verifier.
t.jobs = 4

t.test('a verifier without a stream polls', { buffered: true }, async (t) => {
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

t.test('a verifier with stream: false only polls', { buffered: true }, async (t) => {
  const { feed, answer, untilState } = await openFollowing(t, { stream: false })
  await untilState('polling')
  await feed.add('session', 'session-1')
  await until('it is polled', async () => (await answer()) === 'token_revoked')
  t.same(feed.streamsFrom, [])
})

/** Starts a verifier whose first `failuresMax` requests for the list of revocations fail. */
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

t.test('ready() waits for the list while the issuer fails', { buffered: true }, async (t) => {
  const { verifier, answer, failures } = await openFailing(t, 1)
  await verifier.ready()
  t.equal(failures(), 1)
  t.equal(await answer(), 'token_revoked')
})

t.test('the first token waits for the list', { buffered: true }, async (t) => {
  // A token waits for two seconds, which a busy machine needs for a few attempts.
  const { answer, failures } = await openFailing(t, 1)
  t.equal(await answer(), 'token_revoked')
  t.equal(failures(), 1)
})

t.test(
  'verifySync refuses with revocations_stale before the first list',
  { buffered: true },
  async (t) => {
    const { verifier, feed, answer } = await openFailing(t, 1)
    const token = mint(feed.key, { payload: claimsWith({ sid: 'session-2' }) })
    t.throws(() => verifier.verifySync(token), { code: 'revocations_stale' })
    await until('the list is there', async () => verifier.status().revocations?.isLoaded === true)
    t.match(verifier.verifySync(token), { sid: 'session-2' })
    t.equal(await answer(), 'token_revoked')
  },
)

t.test(
  'a pending list of the application that fails refuses tokens, without an unhandled rejection',
  { buffered: true },
  async (t) => {
    const key = makeKey('ES256')
    const ready = () => Promise.reject(new Error('it never comes'))
    const verifier = createVerifier({
      issuer,
      audience,
      jwks: { keys: [key.publicJwk] },
      clock: new FakeClock(now_s * 1000),
      revocations: { isRevoked: () => false, isPending: true, ready },
    })
    // An unhandled rejection would end this process.
    t.throws(() => verifier.verifySync(mint(key)), { code: 'revocations_stale' })
    await t.rejects(verifier.verify(mint(key)), { code: 'internal_error' })
  },
)

t.test('ready() resolves while the issuer is unavailable', { buffered: true }, async (t) => {
  const { verifier, answer, failures } = await openFailing(t, Number.POSITIVE_INFINITY)
  await verifier.ready()
  t.ok(failures() > 1)
  t.equal(await answer(), 'accepted')
})

t.test('a verifier polls if the stream is silent', { buffered: true }, async (t) => {
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
})

t.test(
  'a verifier receives revocations from an outage of the feed after it',
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

t.test('failClosed refuses tokens if the list is too old', { buffered: true }, async (t) => {
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
})

t.test(
  'failClosed refuses tokens before the first snapshot, and after the clock was set back',
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
  'a clock that is set back during an outage does not make an old list current',
  { buffered: true },
  async (t) => {
    const { feed, clock, answer, untilState, status } = await openFollowing(t, { stream: false })
    const strict = () => answer({ iat: now_s - 100 }, feed.key, { failClosed: true })
    await until('it is current', async () => (await strict()) === 'accepted')
    let polls = 0
    feed.onSnapshot = (_request, response) => {
      polls += 1
      response.writeHead(500).end()
    }
    clock.advance_s(100)
    await until('a poll by the later time', () => polls > 1)
    clock.advance_s(-100)
    t.equal(await strict(), 'revocations_stale')
    t.equal(status().isLoaded, false)
    feed.onSnapshot = null
    await untilState('polling')
    await until('it is loaded again', async () => (await strict()) === 'accepted')
  },
)

t.test(
  'the age of a snapshot counts from when the issuer read its log',
  { buffered: true },
  async (t) => {
    const { feed, clock, answer, untilState, status } = await openFollowing(t, { stream: false })
    feed.readAt_s = now_s - 100
    await untilState('down')
    await until('it is loaded', () => status().isLoaded)
    t.equal(status().lagSeconds, 95, 'less the tolerance')
    t.match(status().lastError, /^the list is old: the issuer cannot read its log/)
    t.equal(await answer({}, feed.key, { failClosed: true }), 'revocations_stale')
    feed.readAt_s = now_s + 3
    await feed.add('session', 'session-2')
    await until('a newer one', async () => {
      return (await answer({}, feed.key, { failClosed: true })) === 'accepted'
    })
    t.equal(status().lagSeconds, 0)
    await untilState('polling')
    t.equal(status().lastError, null)
    clock.advance_s(1)
  },
)

t.test('an event with an unpublished key is ignored', { buffered: true }, async (t) => {
  const { feed, key, answer, untilState, untilError } = await openFollowing(t)
  await untilState('streaming')
  feed.key = makeKey('ES256', 'unknown')
  await feed.add('session', 'session-1')
  await untilError(/unknown key/)
  t.equal(await answer({}, key), 'accepted')
})
