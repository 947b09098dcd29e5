import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { FakeClock } from '../../support/clock.ts'
import { startNginx } from '../../support/nginx.ts'
import { makeKey, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { FeedServer } from './feed-server.ts'
import { follow } from './harness.ts'

/** nginx in front of a feed. Returns the address of the snapshot behind it. */
async function startProxy(t: Test, feed: FeedServer, directives: string): Promise<string> {
  const port = await freePort()
  const http = `server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${feed.port};
      ${directives}
    }
  }`
  await startNginx(t, http, port)
  return `http://127.0.0.1:${port}/revocations`
}

t.test('a stream passes through nginx', async (t) => {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const uri = await startProxy(t, feed, 'proxy_http_version 1.1;')
  const { answer, untilState } = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk], {
    uri,
  })
  await untilState('streaming')
  await feed.add('session', 'session-1')
  await until('it is received', async () => (await answer()) === 'token_revoked')
})

t.test('a verifier polls if nginx buffers the stream', async (t) => {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const buffered = 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;'
  const uri = await startProxy(t, feed, buffered)
  const options = { uri, streamTimeoutSeconds: 1 }
  const one = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk], options)
  await one.untilError(/nothing was received on the stream/)
  await one.untilState('polling')
  await feed.add('session', 'session-1')
  await until('it is polled', async () => (await one.answer()) === 'token_revoked')
})

t.test('a verifier polls if a proxy limits the stream, and respects its Retry-After', async (t) => {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const uri = await startProxy(
    t,
    feed,
    'if ($uri = /revocations/stream) { add_header Retry-After 1 always; return 429; }',
  )
  const one = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk], { uri })
  await one.untilError(/status 429/)
  await one.untilState('polling')
  await feed.add('session', 'session-1')
  await until('it is polled', async () => (await one.answer()) === 'token_revoked')
})
