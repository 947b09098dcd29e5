import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { createVerifier } from '../../../src/verifier/index.ts'
import { makeKey } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { JwksServer, respond, serve } from '../jwks-server.ts'
import { day_s, first, second, setUp, type TestSetup, untilKeys } from './harness.ts'

t.test('fetches the keys once, from below the issuer', async (t) => {
  const paths: (string | undefined)[] = []
  const answer = serve([first])
  const { verifier, ...setup } = await setUp(t, (request, response) => {
    paths.push(request.url)
    answer(request, response)
  })
  t.equal(await setup.answerSync(makeKey('ES256', 'x')), 'keys_unavailable')
  await verifier.ready()
  await verifier.ready()
  t.equal(await setup.answer(first), 'accepted')
  t.equal(await setup.answerSync(first), 'accepted')
  t.same(paths, ['/.well-known/jwks.json'])
  t.same(verifier.status().keys, {
    count: 1,
    source: 'network',
    ageSeconds: 0,
    nextRefreshSeconds: 240,
    refused: [],
    lastError: null,
    fileError: null,
  })
  setup.clock.advance_s(7)
  t.match(verifier.status().keys, { ageSeconds: 7, nextRefreshSeconds: 233 })
})

t.test('fetches from jwksUri', async (t) => {
  const { issuer } = await JwksServer.open(t, respond(500, ''))
  const elsewhere = await JwksServer.open(t, respond(404, ''))
  const jwksUri = `${elsewhere.issuer}/k?a=1`
  const verifier = createVerifier({ issuer, audience: null, jwksUri })
  t.teardown(() => verifier.close())
  await t.rejects(verifier.ready(), {
    cause: { message: `no keys from ${elsewhere.issuer}/k: the answer has status 404` },
  })
  elsewhere.answer = serve([first])
  await verifier.ready()
  t.equal(elsewhere.requests, 2)
})

t.test('concurrent tokens at the start cause one request', async (t) => {
  const { answer, server } = await setUp(t, serve([first]))
  const answers = await Promise.all(Array.from({ length: 50 }, () => answer(first)))
  t.same(new Set(answers), new Set(['accepted']))
  t.equal(server.requests, 1)
})

t.test('an issuer that starts later is retried soon', async (t) => {
  const { answer, server, clock } = await setUp(t, respond(503, ''))
  t.equal(await answer(first), 'keys_unavailable')
  t.equal(await answer(first), 'keys_unavailable')
  t.equal(server.requests, 1)
  server.answer = serve([first])
  clock.advance_s(1)
  t.equal(await answer(first), 'accepted')
})

t.test('A29: a flood of unknown kids causes one request per cooldown', async (t) => {
  const { answer, server, clock, verifier } = await setUp(t, serve([first]))
  await verifier.ready()
  const flood = async () => {
    const kids = Array.from({ length: 300 }, (_, number) => ({
      ...second,
      kid: `unknown-${number}`,
    }))
    const answers = await Promise.all([answer(first), ...kids.map(answer), answer(first)])
    t.equal(answers.shift(), 'accepted')
    t.equal(answers.pop(), 'accepted')
    t.same(new Set(answers), new Set(['token_key_unknown']))
  }
  await flood()
  t.equal(server.requests, 1, 'the keys were fetched a moment ago')
  clock.advance_s(5)
  await flood()
  await flood()
  t.equal(server.requests, 2)
  clock.advance_s(4)
  await flood()
  t.equal(server.requests, 2)
})

t.test('A29: after a flood a new key is found, and meanwhile known keys do not wait', async (t) => {
  const { answer, answerSync, server, clock, verifier } = await setUp(t, serve([first]))
  await verifier.ready()
  clock.advance_s(5)
  const held = Promise.withResolvers<void>()
  server.answer = async (request, response) => {
    await held.promise
    serve([first, second])(request, response)
  }
  const requested = server.nextRequest()
  const waiting = [
    answer(second),
    ...Array.from({ length: 100 }, () => answer({ ...second, kid: 'x' })),
  ]
  await requested
  t.equal(await answer(first), 'accepted', 'while the fetch is under way')
  t.equal(await answerSync(first), 'accepted')
  held.resolve()
  const [found, ...others] = await Promise.all(waiting)
  t.equal(found, 'accepted')
  t.same(new Set(others), new Set(['token_key_unknown']))
  t.equal(server.requests, 2)
})

t.test('verifySync with an unknown kid starts a fetch for the next call', async (t) => {
  const setup = await setUp(t, serve([first]))
  await setup.verifier.ready()
  setup.server.answer = serve([first, second])
  setup.clock.advance_s(5)
  t.equal(await setup.answerSync(second), 'token_key_unknown')
  await untilKeys(setup, ({ ageSeconds }) => ageSeconds === 0)
  t.equal(await setup.answerSync(second), 'accepted')
})

t.test('A30: an unknown kid is keys_unavailable while the set is stale', async (t) => {
  const { answer, answerSync, server, clock, verifier } = await setUp(t, serve([first]))
  await verifier.ready()
  server.answer = respond(503, '')
  clock.advance_s(300)
  t.equal(await answer(second), 'token_key_unknown', 'so long the issuer publishes keys ahead')
  clock.advance_s(1)
  t.equal(await answer(second), 'keys_unavailable')
  t.equal(await answerSync(second), 'keys_unavailable')
  t.equal(await answer(first), 'accepted')
  server.answer = serve([first])
  clock.advance_s(60)
  t.equal(await answer(second), 'token_key_unknown')
})

t.test('a known kid with another algorithm causes no fetch', async (t) => {
  const { answer, server, clock } = await setUp(t, serve([first]))
  t.equal(await answer(first), 'accepted')
  clock.advance_s(5)
  t.equal(await answer(makeKey('Ed25519', 'first')), 'token_algorithm')
  t.equal(server.requests, 1)
})

t.test('A10: the set is replaced whole', async (t) => {
  const setup = await setUp(t, serve([first, second]))
  t.equal(await setup.answer(first), 'accepted')
  setup.server.answer = serve([second])
  setup.clock.advance_s(240)
  t.equal(await setup.answerSync(first), 'accepted', 'the fetch is only now under way')
  await untilKeys(setup, ({ ageSeconds }) => ageSeconds === 0)
  t.equal(await setup.answer(first), 'token_key_unknown')
  t.equal(await setup.answerSync(first), 'token_key_unknown')
  t.equal(await setup.answer(second), 'accepted')
})

t.test('A10: a key that was replaced under its kid no longer verifies', async (t) => {
  const setup = await setUp(t, serve([first]))
  t.equal(await setup.answer(first), 'accepted')
  setup.server.answer = serve([makeKey('ES256', 'first')])
  setup.clock.advance_s(240)
  await setup.answer(first)
  await untilKeys(setup, ({ ageSeconds }) => ageSeconds === 0)
  t.equal(await setup.answer(first), 'token_signature')
})

t.test('keys are fetched again after four fifths of their freshness', async (t) => {
  const cases: [Record<string, string>, number][] = [
    [{}, 240],
    [{ 'cache-control': 'public, max-age=100' }, 80],
    [{ 'cache-control': 'Max-Age=100', age: '50' }, 40],
    [{ 'cache-control': 'max-age="100"', age: '50, 90' }, 40],
    [{ 'cache-control': 'max-age=99999999' }, 2880],
    [{ 'cache-control': 'max-age=99999999999' }, 2880],
    [{ 'cache-control': 'max-age=100', age: '99999999999' }, 1],
    [{ 'cache-control': 'max-age=0' }, 1],
    [{ 'cache-control': 'max-age=10', age: '500' }, 1],
    [{ 'cache-control': 'max-age=soon, s-maxage=7' }, 240],
    [{ age: '5000' }, 240],
    [{ 'cache-control': 'no-store' }, 240],
  ]
  for (const [headers, after_s] of cases) {
    const { answer, answerSync, server, clock, verifier } = await setUp(t, serve([first], headers))
    await verifier.ready()
    clock.advance_s(after_s - 1)
    await answer(first)
    t.equal(server.requests, 1, JSON.stringify(headers))
    clock.advance_s(1)
    const requested = server.nextRequest()
    t.equal(await answerSync(first), 'accepted')
    await requested
    t.equal(server.requests, 2)
    await verifier.close()
  }
})

t.test('keys are fetched again without a token', async (t) => {
  const { server, verifier } = await setUp(t, serve([first], { 'cache-control': 'max-age=1' }))
  await verifier.ready()
  await server.nextRequest()
  t.equal(server.requests, 2)
})

t.test('a clock that was set back delays no fetch', async (t) => {
  const { answer, server, clock, verifier } = await setUp(t, serve([first]))
  await verifier.ready()
  server.answer = serve([first, second])
  clock.advance_s(-200)
  t.equal(verifier.status().keys.nextRefreshSeconds, 0)
  t.equal(await answer(second), 'accepted')
  t.equal(server.requests, 2)
})

t.test('a clock that was set back does not lengthen the use of the last keys', async (t) => {
  const { server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  server.answer = respond(503, '')
  clock.advance_s(-10 * day_s)
  await keys.refreshNow()
  t.match(keys.status(), { count: 1, ageSeconds: 0 })
  clock.advance_s(day_s)
  t.match(keys.status(), { count: 1, ageSeconds: day_s })
  t.equal(keys.find('second', 'ES256'), 'keys_unavailable', 'the issuer may publish it')
  clock.advance_s(1)
  t.equal(keys.find('first', 'ES256'), 'keys_unavailable')
})

const oneKey = JSON.stringify(first.publicJwk)
const failures: Record<string, { answer: JwksServer['answer']; error: RegExp }> = {
  'an error': { answer: respond(500, 'oops'), error: /status 500/ },
  'another status': { answer: respond(203, `{"keys":[${oneKey}]}`), error: /status 203/ },
  nothing: { answer: respond(204, ''), error: /status 204/ },
  'a page': {
    answer: respond(200, '<html>', { 'content-type': 'text/html' }),
    error: /content type of the answer is not JSON/,
  },
  'keys in a text': {
    answer: serve([first], { 'content-type': 'text/plain' }),
    error: /content type of the answer is not JSON/,
  },
  'keys of no type': {
    answer: (_request, response) => response.writeHead(200).end(`{"keys":[${oneKey}]}`),
    error: /content type of the answer is not JSON/,
  },
  'a 304 that nobody asked for': { answer: respond(304, ''), error: /status 304/ },
  'an empty body': { answer: respond(200, ''), error: /JSON/ },
  'a member given twice': { answer: respond(200, `{"keys":[],"keys":[${oneKey}]}`), error: /JSON/ },
  'an array': { answer: respond(200, `[${oneKey}]`), error: /no array of keys/ },
  'another object': { answer: respond(200, '{"key":[]}'), error: /no array of keys/ },
  'an empty set': { answer: respond(200, '{"keys":[]}'), error: /there are no keys/ },
  'no key of ours': {
    answer: respond(200, '{"keys":[{"kty":"oct","kid":"a"}]}'),
    error: /no key can be used: a: /,
  },
  'too many keys': {
    answer: respond(200, JSON.stringify({ keys: Array(65).fill(1) })),
    error: /more than 64/,
  },
  'a small body that becomes a large one': {
    answer: (_request, response) => {
      const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
      response.writeHead(200, headers).end(gzipSync(Buffer.alloc(10_000_000, ' ')))
    },
    error: /longer than 65536 bytes/,
  },
  'a redirect': {
    answer: (request, response) => {
      if (request.url === '/moved') serve([first])(request, response)
      else response.writeHead(302, { location: '/moved' }).end()
    },
    error: /status 302, and no redirect is followed/,
  },
  silence: { answer: () => {}, error: /no full answer within 200 ms/ },
  'silence after the head': {
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    },
    error: /no full answer within 200 ms/,
  },
  'a slow body': {
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => response.write(' '), 5)
      response.once('close', () => clearInterval(timer))
    },
    error: /no full answer within 200 ms/,
  },
  'a closed connection': {
    answer: (_request, response) => response.destroy(),
    error: /fetch failed: /,
  },
  'half a body': {
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
      response.write('{"keys":[', () => response.destroy())
    },
    error: /./,
  },
}

/** Short where nothing else ends the fetch. A good answer may take longer too, on a busy machine. */
const timeoutMs = (what: string) => (/silence|slow/.test(what) ? 200 : 60_000)

/** Waits until a fetch has been in time. */
function untilFetched({ verifier }: Pick<TestSetup, 'verifier'>): Promise<void> {
  const isReady = () =>
    verifier.ready().then(
      () => true,
      () => false,
    )
  return until('the keys are fetched', isReady)
}

t.test('A30: every failure at the start is 503 until a fetch succeeds', async (t) => {
  for (const [what, failure] of Object.entries(failures)) {
    const { answer, answerSync, server, clock, verifier } = await setUp(t, failure.answer, {
      fetchTimeoutMs: timeoutMs(what),
    })
    await t.rejects(verifier.ready(), { code: 'keys_unavailable', status: 503 }, what)
    t.equal(await answer(first), 'keys_unavailable', what)
    t.equal(await answerSync(first), 'keys_unavailable', what)
    t.match(verifier.status().keys, { count: 0, ageSeconds: null, lastError: failure.error }, what)
    server.answer = serve([first])
    await until(`a fetch succeeds after ${what}`, async () => {
      clock.advance_s(5)
      return (await answer(first)) === 'accepted'
    })
    t.match(verifier.status().keys, { count: 1, lastError: null }, what)
  }
})

t.test('A30: after every failure the last good set is used for a day', async (t) => {
  for (const [what, failure] of Object.entries(failures)) {
    const setup = await setUp(t, serve([first]), { fetchTimeoutMs: timeoutMs(what) })
    const { answer, answerSync, server, clock, verifier } = setup
    await untilFetched(setup)
    server.answer = failure.answer
    clock.advance_s(240)
    t.equal(await answer(first), 'accepted', what)
    await untilKeys(setup, ({ lastError }) => lastError !== null)
    t.match(verifier.status().keys, { count: 1, ageSeconds: 240, lastError: failure.error }, what)
    t.equal(await answer(second), 'token_key_unknown', what)
    clock.advance_s(day_s - 240)
    t.equal(await answerSync(first), 'accepted', what)
    clock.advance_s(1)
    t.equal(await answer(first), 'keys_unavailable', what)
    t.equal(await answerSync(first), 'keys_unavailable', what)
    await t.rejects(verifier.ready(), { code: 'keys_unavailable' })
    server.answer = serve([first])
    await untilFetched(setup)
    t.equal(await answer(first), 'accepted', what)
  }
})

t.test('A30: an endless body is cut off', async (t) => {
  const { server, verifier } = await setUp(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = () => {
      while (response.write(' '.repeat(16_384)));
    }
    response.on('drain', more)
    more()
  })
  const answer = server.answer
  const cutOff = Promise.withResolvers<void>()
  server.answer = (request, response) => {
    once(response, 'close').then(() => cutOff.resolve())
    answer(request, response)
  }
  await t.rejects(verifier.ready(), { code: 'keys_unavailable' })
  t.match(verifier.status().keys.lastError, /longer than 65536 bytes/)
  await cutOff.promise
})

t.test('a refused connection is 503', async (t) => {
  const { server, answer, verifier } = await setUp(t, serve([first]))
  await server.close()
  t.equal(await answer(first), 'keys_unavailable')
  t.match(verifier.status().keys.lastError, /fetch failed: .*ECONNREFUSED/)
})

t.test('maxJwksAgeSeconds limits the age of the keys', async (t) => {
  const { answer, server, clock } = await setUp(t, serve([first]), { maxAgeSeconds: 60 })
  t.equal(await answer(first), 'accepted')
  server.answer = respond(500, '')
  clock.advance_s(60)
  t.equal(await answer(first), 'accepted')
  clock.advance_s(1)
  t.equal(await answer(first), 'keys_unavailable')
})

t.test('close aborts a fetch, and prevents further fetches', async (t) => {
  const { answer, answerSync, server, clock, verifier } = await setUp(t, serve([first]))
  await verifier.ready()
  server.answer = () => {}
  clock.advance_s(240)
  const requested = server.nextRequest()
  t.equal(await answerSync(first), 'accepted')
  await requested
  await verifier.close()
  await verifier.close()
  t.match(verifier.status().keys.lastError, /closed/)
  clock.advance_s(240)
  t.equal(await answer(first), 'accepted')
  t.equal(await answer(second), 'keys_unavailable')
  t.equal(server.requests, 2)
})

t.test('close leaves no timer behind', async (t) => {
  const started = t.capture(globalThis, 'setTimeout', setTimeout)
  const { answer, keys, verifier } = await setUp(t, respond(500, ''), { jwksFile: '/nowhere/a' })
  t.equal(await answer(first), 'keys_unavailable')
  t.ok(keys.status().nextRefreshSeconds !== null)
  await verifier.close()
  t.equal(keys.status().nextRefreshSeconds, null)
  await keys.refreshNow()
  await keys.refresh('first')
  // Node's fetch keeps timers of its own.
  const ours = started().filter(({ at }) => /src\/(core|verifier)\//.test(at?.fileName ?? ''))
  const timers = ours.map((call) => Reflect.get(call, 'returned') as NodeJS.Timeout)
  t.ok(timers.length >= 3, 'of the deadline, of the file, and of the next fetch')
  t.same(
    timers.filter((timer) => !Reflect.get(timer, '_destroyed')),
    [],
  )
})
