import { once } from 'node:events'
import t from 'tap'
import {
  abortAfter,
  chunksOf,
  get,
  ResponseError,
  RetryDelay,
  readBody,
  readRetryAfterMs,
} from '../../src/verifier/http-client.ts'
import { FakeClock } from '../support/clock.ts'
import { startHttpServer } from '../support/http-server.ts'
import { now_s } from '../support/tokens.ts'

const clock = new FakeClock(now_s * 1000)
const { signal } = new AbortController()
const headers = {}

t.test('sends the entity tag, and accepts a 304 only for one', async (t) => {
  const tags: (string | undefined)[] = []
  const { url: uri } = await startHttpServer(t, (request, response) => {
    tags.push(request.headers['if-none-match'])
    response.writeHead(304).end()
  })
  t.equal((await get({ uri, headers, etag: '"a"', clock, signal })).status, 304)
  await t.rejects(get({ uri, headers, etag: null, clock, signal }), /status 304/)
  await t.rejects(get({ uri, headers, clock, signal }), /status 304/)
  t.same(tags, ['"a"', undefined, undefined])
})

t.test('follows no redirect, and reads Retry-After', async (t) => {
  let requests = 0
  const { url: uri } = await startHttpServer(t, (request, response) => {
    requests += 1
    if (request.url === '/busy') response.writeHead(503, { 'retry-after': '7' }).end()
    else response.writeHead(302, { location: '/elsewhere' }).end()
  })
  await t.rejects(get({ uri, headers, clock, signal }), /status 302, and no redirect is followed/)
  t.equal(requests, 1)
  const busy = await get({ uri: `${uri}/busy`, headers, clock, signal }).catch((error) => error)
  t.ok(busy instanceof ResponseError)
  t.equal(busy.retryAfterMs, 7000)
})

t.test('bounds the body', async (t) => {
  const { url: uri } = await startHttpServer(t, (_request, response) =>
    response.end('x'.repeat(100)),
  )
  const response = () => get({ uri, headers, clock, signal })
  t.equal((await readBody(await response(), 100, signal)).length, 100)
  await t.rejects(readBody(await response(), 99, signal), /longer than 99 bytes/)
})

t.test('an abort ends a body, even if the fetch has forgotten its signal', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { url: uri } = await startHttpServer(t, (_request, response) => {
    response.on('close', closed.resolve).write('a')
  })
  const response = await get({ uri, headers, clock, signal })
  const aborter = new AbortController()
  const reading = async () => {
    for await (const _ of chunksOf(response, aborter.signal)) {
      setImmediate(() => aborter.abort(new Error('closed')))
    }
  }
  await t.rejects(reading(), /closed/)
  await closed.promise
})

t.test('a reader that stops early closes the connection', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { url: uri } = await startHttpServer(t, (_request, response) => {
    response.on('close', closed.resolve).write('a')
  })
  for await (const _ of chunksOf(await get({ uri, headers, clock, signal }), signal)) break
  await closed.promise
})

t.test('a deadline aborts the request', async (t) => {
  const { url: uri } = await startHttpServer(t, () => {})
  const request = abortAfter(10, new AbortController(), (signal) =>
    get({ uri, headers, clock, signal }),
  )
  await t.rejects(request, /within 10 ms/)
  const aborter = new AbortController()
  const aborted = abortAfter(60_000, aborter, (signal) => once(new EventTarget(), 'x', { signal }))
  aborter.abort(new Error('closed'))
  await t.rejects(aborted)
})

t.test('Retry-After is a number of seconds or a date', async (t) => {
  const inAMinute = new Date(clock.nowMs() + 60_000).toUTCString()
  const aMinuteAgo = new Date(clock.nowMs() - 60_000).toUTCString()
  for (const [text, expectedMs] of [
    [null, null],
    ['soon', null],
    ['', null],
    ['0', 0],
    ['7', 7000],
    ['9999999999', 300_000],
    [inAMinute, 60_000],
    [aMinuteAgo, 0],
  ] as const) {
    t.equal(readRetryAfterMs(text, clock), expectedMs, String(text))
  }
})

t.test('the delay doubles with each failure, and respects the server', async (t) => {
  const failure = new Error('the connection was refused')
  const delay = new RetryDelay({ minMs: 100, maxMs: 500 }, () => 0)
  const delays = () => [1, 2, 3, 4].map(() => delay.afterMs(failure))
  t.same(delays(), [50, 100, 200, 250])
  delay.reset()
  t.same(delays(), [50, 100, 200, 250])
  t.equal(delay.afterMs(new ResponseError('the answer has status 503', 7000)), 7000)
  delay.reset()
  delay.minMs = 1
  t.equal(delay.afterMs(failure), 50, 'at least 100 ms before jitter')
  delay.minMs = 1e9
  t.equal(delay.afterMs(failure), 250, 'at most the limit')
})
