import type { ServerResponse } from 'node:http'
import t from 'tap'
import { createVerifier } from '../../../src/verifier/index.ts'
import { createFixedKeys, readKeySet } from '../../../src/verifier/keys/key-source.ts'
import { FakeClock } from '../../support/clock.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { answerOf } from '../harness.ts'
import { JwksServer, serve } from '../jwks-server.ts'
import { FeedServer } from './feed-server.ts'
import { follow, openFollowing } from './harness.ts'

t.test('receives revocations of each kind, and applies them', async (t) => {
  const { feed, answer, status, untilState } = await openFollowing(t)
  await feed.add('session', 'session-0')
  await untilState('streaming')
  t.equal(await answer(), 'accepted')
  await feed.add('session', 'session-1')
  await until('the session', async () => (await answer()) === 'token_revoked')
  t.equal(await answer({ sid: 'session-2' }), 'accepted')
  await feed.add('user', 'user-2')
  await until('the user', async () => {
    return (await answer({ sid: 'session-2', sub: 'user-2' })) === 'token_revoked'
  })
  t.equal(await answer({ sid: 'session-2' }), 'accepted')
  await feed.add('all', '')
  await until('everybody', async () => (await answer({ sid: 'session-2' })) === 'token_revoked')
  t.match(status(), { state: 'streaming', isLoaded: true, entries: 4, lastError: null })
})

t.test('A21: a token that was accepted is refused once its session is revoked', async (t) => {
  const { feed, key, verifier, untilState } = await openFollowing(t)
  await untilState('streaming')
  const token = mint(key, { payload: claimsWith({ sid: 'session-9' }) })
  for (let n = 0; n < 3; n++) t.equal(await answerOf(() => verifier.verify(token)), 'accepted')
  verifier.verifySync(token)
  await feed.add('session', 'session-9')
  await until('the end', async () => (await answerOf(() => verifier.verify(token))) !== 'accepted')
  t.throws(() => verifier.verifySync(token), { code: 'token_revoked' })
})

t.test('ready() waits for the snapshot, and does not fail without it', async (t) => {
  const { feed, answer, verifier } = await openFollowing(t)
  await feed.add('session', 'session-1')
  await verifier.ready()
  t.equal(await answer(), 'token_revoked')

  const other = await openFollowing(t, { uri: 'http://127.0.0.1:1/revocations' })
  await other.verifier.ready()
  t.equal(await other.answer(), 'accepted')
  t.match(other.status(), { state: 'down', isLoaded: false, lastError: /ECONNREFUSED|bad port/ })
})

/** No poll follows within a test, however long a stream takes to come back. */
const streamOnly = { pollIntervalSeconds: 3600 }

t.test('a stream resumes at its position', async (t) => {
  const { feed, answer, untilState } = await openFollowing(t, streamOnly)
  await untilState('streaming')
  const { position } = await feed.add('session', 'session-0')
  await until('it is received', async () => (await answer({ sid: 'session-0' })) !== 'accepted')
  feed.cut()
  await until('it is gone', () => feed.followers === 0)
  await feed.add('session', 'session-1')
  await until('the missed one', async () => (await answer()) === 'token_revoked')
  t.equal(feed.streamsFrom.at(-1), position)
  t.equal(feed.snapshots, 1, 'no snapshot was needed')
})

t.test('a gap in the stream reloads the snapshot', async (t) => {
  const { feed, answer, status, untilState } = await openFollowing(t, streamOnly)
  await untilState('streaming')
  await feed.add('session', 'session-1', now_s, 'lost')
  await feed.add('session', 'session-2')
  await until('both', async () => {
    const answers = [await answer(), await answer({ sid: 'session-2' })]
    return answers.every((one) => one === 'token_revoked')
  })
  t.equal(feed.snapshots, 2)
  await untilState('streaming')
  t.equal(feed.streamsFrom.at(-1), 'a2')
  t.equal(status().entries, 2)
})

t.test('a 304 that was sent before a gap in the stream does not confirm the list', async (t) => {
  const { feed, clock, answer, status } = await openFollowing(t)
  const stream = Promise.withResolvers<ServerResponse>()
  feed.onStream = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    stream.resolve(response)
  }
  const response = await stream.promise
  const asked = Promise.withResolvers<ServerResponse>()
  feed.onSnapshot = (_request, response) => asked.resolve(response)
  const onItsWay = await asked.promise
  await feed.add('session', 'lost', now_s, 'lost')
  response.write(await feed.eventText(await feed.add('session', 'sent')))
  await until('the event', async () => (await answer({ sid: 'sent' })) === 'token_revoked')
  clock.advance_s(60)
  const askedAgain = Promise.withResolvers<ServerResponse>()
  feed.onSnapshot = (_request, response) => askedAgain.resolve(response)
  onItsWay.writeHead(304).end()
  const last = await askedAgain.promise
  t.equal(status().lagSeconds, 60)
  t.equal(await answer({ sid: 'lost' }), 'accepted')
  last.writeHead(200, { 'content-type': 'application/jwt' }).end(await feed.snapshotText())
  await until('the lost one', async () => (await answer({ sid: 'lost' })) === 'token_revoked')
})

t.test('a restarted log reloads the snapshot, and no revocation is forgotten', async (t) => {
  const { feed, answer, untilState } = await openFollowing(t)
  await untilState('streaming')
  await feed.add('session', 'session-1')
  await until('it is received', async () => (await answer()) === 'token_revoked')
  feed.restartLog()
  feed.cut()
  await feed.add('session', 'session-2', now_s, 'lost')
  await feed.add('session', 'session-3')
  await until('all', async () => {
    const sids = ['session-1', 'session-2', 'session-3']
    const answers = await Promise.all(sids.map((sid) => answer({ sid })))
    return answers.every((one) => one === 'token_revoked')
  })
  await until('it goes on', () => feed.streamsFrom.at(-1) === 'aa2')
})

t.test('a revoked key is refused immediately, in tokens and in the feed', async (t) => {
  const { feed, key, clock, answer, verifier, untilState, untilError } = await openFollowing(t)
  await untilState('streaming')
  await feed.add('key', key.kid)
  await until('the key', async () => (await answer()) === 'token_revoked')
  t.equal(await answer({ iat: now_s + 4 }), 'token_revoked', 'whatever it says of its time')
  await feed.add('session', 'session-1')
  await untilError(/revoked key/)
  clock.advance_s(1)
  t.equal(verifier.status().revocations?.entries, 1, 'what the key signs is not taken in')
})

t.test('a revoked key causes a fetch of the keys despite the cooldown', async (t) => {
  const { feed, key, clock } = await openFollowing(t)
  const next = makeKey('ES256', 'next')
  const server = await JwksServer.open(t, serve([key]))
  const verifier = createVerifier({
    issuer,
    audience,
    jwksUri: `${server.issuer}/jwks`,
    clock,
    revocations: { uri: feed.uri },
  })
  t.teardown(() => verifier.close())
  const answer = (by = key) => answerOf(async () => verifier.verifySync(mint(by)))
  await verifier.ready()
  await until('it streams', () => verifier.status().revocations?.state === 'streaming')
  t.equal(await answer(), 'accepted')
  const { requests } = server
  server.answer = serve([next])
  await feed.add('key', key.kid)
  await until('the new key', async () => (await answer(next)) === 'accepted')
  t.equal(await answer(), 'token_key_unknown')
  t.equal(server.requests, requests + 1)
})

t.test('a key source that breaks its contract ends no process when a key is revoked', async (t) => {
  const { feed, key, clock } = await openFollowing(t)
  const fixed = createFixedKeys(readKeySet({ keys: [key.publicJwk] }))
  for (const refreshNow of [
    () => Promise.reject(new Error('it broke')),
    () => {
      throw new Error('it broke')
    },
  ]) {
    const verifier = createVerifier({
      issuer,
      audience,
      keys: { ...fixed, refreshNow },
      clock,
      revocations: { uri: feed.uri },
    })
    t.teardown(() => verifier.close())
    await verifier.ready()
    await until('it streams', () => verifier.status().revocations?.state === 'streaming')
    await feed.add('key', 'another-key')
    await until('the key', () => verifier.status().revocations?.entries === 1)
    t.equal(await answerOf(() => verifier.verify(mint(key))), 'accepted')
    t.equal(verifier.status().revocations?.lastError, null)
  }
})

t.test('an entry is removed one token lifetime after the revocation', async (t) => {
  const { feed, clock, answer, untilState, status } = await openFollowing(t)
  await untilState('streaming')
  await feed.add('user', 'user-1', now_s - 310)
  await feed.add('user', 'user-2', now_s - 311)
  await until('one', async () => (await answer({ iat: now_s - 310 })) === 'token_revoked')
  t.equal(status().entries, 1, 'the other is past 305 s and the tolerance of 5')
  clock.advance_s(1)
  t.equal(await answer({ iat: now_s }), 'accepted')
})

t.test('A21: no entry is removed early after the issuer has shortened its tokens', async (t) => {
  const intervals = t.capture(globalThis, 'setInterval', setInterval)
  const { feed, clock, answer, untilState } = await openFollowing(t)
  const [pruning] = intervals().filter(({ at }) => at?.fileName?.endsWith('feed-follower.ts'))
  feed.kept_s = 3605
  await feed.add('session', 'session-1', now_s, 'lost')
  await feed.add('session', 'session-2')
  const claims = { iat: now_s - 1, exp: now_s + 3600 }
  await until('both', async () => (await answer(claims)) === 'token_revoked')
  feed.kept_s = 305
  await untilState('streaming')
  await feed.add('session', 'session-3', now_s, 'lost')
  await feed.add('session', 'session-4')
  const third = () => answer({ ...claims, sid: 'session-3' })
  await until('the next snapshot', async () => (await third()) === 'token_revoked')
  clock.advance_s(3000)
  Reflect.apply(pruning?.args[0] as () => void, undefined, [])
  t.equal(await answer(claims), 'token_revoked')
  t.equal(await third(), 'token_revoked')
})

t.test(
  'A21: an entry is kept as long as tokens live after the issuer has prolonged them',
  async (t) => {
    const intervals = t.capture(globalThis, 'setInterval', setInterval)
    const { feed, clock, answer, untilState } = await openFollowing(t)
    const [pruning] = intervals().filter(({ at }) => at?.fileName?.endsWith('feed-follower.ts'))
    await untilState('streaming')
    const { snapshots } = feed
    feed.kept_s = 3605
    await feed.add('session', 'session-1')
    const claims = { iat: now_s - 1, exp: now_s + 3600 }
    await until('the event', async () => (await answer(claims)) === 'token_revoked')
    t.equal(feed.snapshots, snapshots, 'no snapshot names the new time')
    clock.advance_s(3000)
    Reflect.apply(pruning?.args[0] as () => void, undefined, [])
    t.equal(await answer(claims), 'token_revoked')
  },
)

for (const stream of [true, false]) {
  const source = stream ? 'the stream' : 'polls'
  t.test(`A21: no entry stays removed after the clock was ahead, with ${source}`, async (t) => {
    const key = makeKey('ES256')
    const feed = await FeedServer.open(t, key)
    await feed.add('session', 'session-1')
    const clock = new FakeClock((now_s + 3600) * 1000)
    const { answer, status, untilState } = follow(t, feed, clock, [key.publicJwk], { stream })
    await untilState(stream ? 'streaming' : 'polling')
    t.equal(status().entries, 0)
    clock.advance_s(-3600)
    feed.heartbeat()
    await until('the whole list', async () => (await answer()) === 'token_revoked')
    await untilState(stream ? 'streaming' : 'polling')
  })
}

t.test('close() ends the stream, and the list stays in use', async (t) => {
  const { feed, answer, verifier, untilState } = await openFollowing(t)
  await feed.add('session', 'session-1')
  await untilState('streaming')
  await verifier.close()
  await until('it is gone', () => feed.followers === 0)
  t.equal(await answer(), 'token_revoked')
  t.equal(verifier.status().revocations?.state, 'down')
})
