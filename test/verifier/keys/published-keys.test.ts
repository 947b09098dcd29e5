import t from 'tap'
import { PublishedKeys } from '../../../src/verifier/keys/published-keys.ts'
import { FakeClock } from '../../support/clock.ts'
import { now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { JwksServer, respond, serve } from '../jwks-server.ts'
import { day_s, first, second, setUp } from './harness.ts'

/** Publishes the first key with an entity tag, and responds 304 to that tag. `seen` records the tags. */
function conditional(
  seen: (string | undefined)[],
  headers: Record<string, string> = {},
): JwksServer['answer'] {
  return (request, response) => {
    const known = request.headers['if-none-match']
    seen.push(known)
    const all = { etag: '"one"', ...headers }
    if (known === '"one"') response.writeHead(304, all).end()
    else serve([first], all)(request, response)
  }
}

t.test('a 304 renews the age of the set', async (t) => {
  const seen: (string | undefined)[] = []
  const { answer, clock, keys } = await setUp(t, conditional(seen))
  await keys.ready()
  const key = keys.find('first', 'ES256')
  clock.advance_s(day_s - 1)
  await keys.refreshNow()
  t.same(seen, [undefined, '"one"'])
  t.match(keys.status(), { count: 1, ageSeconds: 0, nextRefreshSeconds: 240, lastError: null })
  clock.advance_s(day_s - 1)
  t.equal(await answer(first), 'accepted', 'a day after it was confirmed')
  t.equal(keys.find('first', 'ES256'), key)
})

t.test('a 304 makes an expired set usable again', async (t) => {
  const { answer, answerSync, server, clock, keys } = await setUp(t, conditional([]))
  await keys.ready()
  const key = keys.find('first', 'ES256')
  const { answer: healthy } = server
  server.answer = respond(500, '')
  clock.advance_s(day_s + 1)
  t.equal(await answer(first), 'keys_unavailable')
  t.equal(keys.find('first', 'ES256'), 'keys_unavailable')
  server.answer = healthy
  clock.advance_s(5)
  t.equal(await answer(first), 'accepted')
  t.equal(await answerSync(first), 'accepted')
  t.equal(keys.find('first', 'ES256'), key)
})

t.test('a 304 renews the freshness of the set', async (t) => {
  const headers = { 'cache-control': 'max-age=300' }
  const { keys } = await setUp(t, conditional([], headers))
  await keys.ready()
  headers['cache-control'] = 'max-age=100'
  await keys.refreshNow()
  t.equal(keys.status().nextRefreshSeconds, 80)
})

t.test('a set is fetched again before it is too old to be used', async (t) => {
  const headers = { 'cache-control': 'max-age=300' }
  const { answerSync, clock, keys, server } = await setUp(t, conditional([], headers), {
    maxAgeSeconds: 10,
  })
  await keys.ready()
  for (const requests of [2, 3]) {
    t.equal(keys.status().nextRefreshSeconds, 8)
    clock.advance_s(8)
    t.equal(await answerSync(first), 'accepted')
    await until('the set was fetched', () => keys.status().ageSeconds === 0)
    t.equal(server.requests, requests)
  }
})

t.test('the entity tag is that of the last set', async (t) => {
  const seen: (string | undefined)[] = []
  const { server, keys } = await setUp(t, conditional(seen))
  await keys.ready()
  server.answer = (request, response) => {
    seen.push(request.headers['if-none-match'])
    serve([first, second])(request, response)
  }
  await keys.refreshNow()
  await keys.refreshNow()
  t.same(seen, [undefined, '"one"', undefined])
})

t.test('a long entity tag is ignored', async (t) => {
  const seen: (string | undefined)[] = []
  const { keys } = await setUp(t, conditional(seen, { etag: `"${'x'.repeat(255)}"` }))
  await keys.ready()
  await keys.refreshNow()
  t.same(seen, [undefined, undefined])
})

t.test('an invalid response keeps the entity tag of the set in use', async (t) => {
  const seen: (string | undefined)[] = []
  const { server, keys } = await setUp(t, conditional(seen))
  await keys.ready()
  const { answer } = server
  server.answer = respond(200, '{"keys":[]}', { etag: '"empty"' })
  await keys.refreshNow()
  t.match(keys.status(), { count: 1, lastError: /there are no keys/ })
  server.answer = answer
  await keys.refreshNow()
  t.same(seen, [undefined, '"one"'])
})

t.test('no cooldown delays the fetch of a set that became too old', async (t) => {
  const { issuer } = await JwksServer.open(t, serve([first]))
  const clock = new FakeClock(now_s * 1000)
  const limits = { fetchTimeoutMs: 60_000, maxAgeSeconds: 2 }
  const keys = new PublishedKeys({ jwksUri: issuer, clock, random: () => 1, ...limits })
  await keys.fetch(false)
  clock.advance_s(2)
  t.notOk(keys.isEmpty)
  t.notOk(keys.canFetchFor('first'))
  clock.advance_s(1)
  t.ok(keys.isEmpty)
  t.ok(keys.canFetchFor('first'))
})

t.test('concurrent fetches that fail together count once', async (t) => {
  const server = await JwksServer.open(t, respond(503, ''))
  const jwksUri = `${server.issuer}/.well-known/jwks.json`
  const clock = new FakeClock(now_s * 1000)
  const limits = { fetchTimeoutMs: 60_000, maxAgeSeconds: day_s }
  const keys = new PublishedKeys({ jwksUri, clock, random: () => 1, ...limits })
  const fail = (times: number) =>
    Promise.allSettled(Array.from({ length: times }, () => keys.fetch(false)))
  await fail(10)
  t.equal(keys.nextRefreshMs - clock.nowMs(), 200)
  await fail(1)
  t.equal(keys.nextRefreshMs - clock.nowMs(), 400)
  t.equal(server.requests, 11)
})

t.test('a 304 does not confirm a set that a concurrent fetch brought', async (t) => {
  const seen: (string | undefined)[] = []
  const server = await JwksServer.open(t, conditional(seen))
  const jwksUri = `${server.issuer}/.well-known/jwks.json`
  const clock = new FakeClock(now_s * 1000)
  const keys = new PublishedKeys({ jwksUri, clock, fetchTimeoutMs: 60_000, maxAgeSeconds: day_s })
  await keys.fetch(false)
  const arrived = Promise.withResolvers<void>()
  const { answer: unchanged } = server
  const replacement = Promise.withResolvers<void>()
  server.answer = (request, response) => {
    arrived.resolve()
    void replacement.promise.then(() => serve([second], { etag: '"two"' })(request, response))
  }
  const replacing = keys.fetch(false)
  await arrived.promise
  server.answer = async (request, response) => {
    replacement.resolve()
    await replacing
    clock.advance_s(10)
    unchanged(request, response)
  }
  await keys.fetch(false)
  t.match(keys.status(true), { count: 1, ageSeconds: 10, lastError: null })
  t.ok(keys.loaded?.set.has('second'))
  server.answer = conditional(seen)
  await keys.fetch(false)
  t.same(seen, [undefined, '"one"', '"two"'])
  t.ok(keys.loaded?.set.has('first'))
})
