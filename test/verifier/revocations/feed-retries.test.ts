import t from 'tap'
import { SnapshotPoller } from '../../../src/verifier/revocations/snapshot-poller.ts'
import { FakeClock } from '../../support/clock.ts'
import { makeKey, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { FeedServer } from './feed-server.ts'
import { captureDelays, follow, openFollowing } from './harness.ts'

t.test('Retry-After delays the next stream and the next poll', async (t) => {
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

t.test('a failed poll that several callers wait for counts once', async (t) => {
  const delays = captureDelays(t)
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  feed.onSnapshot = (_request, response) => response.writeHead(503).end()
  const { verifier } = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk])
  const ready = verifier.ready()
  // The first delay is that of the regular poll.
  const retries = () => delays('snapshot-poller.ts').slice(1)
  await until('it waits', () => retries().length > 0)
  t.ok(retries().length <= feed.snapshots, `${retries()} after ${feed.snapshots} polls`)
  await ready
})

t.test('a failed poll is repeated within 30 seconds, however rare the polls are', async (t) => {
  const start = setTimeout
  const startFast = (run: () => void, ms: number) => start(run, ms / 1000)
  const delays = captureDelays(t, startFast as typeof setTimeout)
  const poller = new SnapshotPoller({
    load: () => Promise.reject(new Error('the issuer is down')),
    intervalMs: 3_600_000,
    timeoutMs: 1_000_000,
    onRecovered: () => {},
  })
  t.teardown(() => poller.close())
  poller.start()
  // The first delay is that of the regular poll.
  const retries = () => delays('snapshot-poller.ts').slice(1)
  await until('it has retried often', () => retries().length >= 12)
  const longest = Math.max(...retries())
  t.ok(longest >= 15_000 && longest <= 30_000, `${longest} ms`)
})

t.test('the verifiers of one feed reconnect at random times', async (t) => {
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

t.test('the pauses grow while each stream ends with a forged event', async (t) => {
  const delays = captureDelays(t)
  const { feed, untilError } = await openFollowing(t)
  feed.onStream = async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const times = { atMs: now_s * 1000, expiresAtMs: (now_s + 305) * 1000 }
    const entry = { kind: 'session', id: 's', ...times, position: 'x', previous: 'y' }
    response.write(`retry: 100\n\n${await feed.eventText(entry as never)}`)
  }
  await untilError(/does not follow/)
  const pauses = () => delays('event-stream.ts').filter((ms) => ms < 12_000)
  await until('the first pause was 100 ms at most', () => pauses().some((ms) => ms >= 400))
})
