import t from 'tap'
import { algorithmNames } from '../../../src/tokens/algorithms.ts'
import { haveSameKeys, readKeySet } from '../../../src/verifier/keys/key-source.ts'
import { makeKey } from '../../support/tokens.ts'
import { respond, serve } from '../jwks-server.ts'
import { day_s, first, second, setUp } from './harness.ts'

const all = algorithmNames.map((alg) => makeKey(alg).publicJwk)

t.test('a key that stays published is imported once', async (t) => {
  const one = readKeySet({ keys: all })
  // The order of members and keys does not change a key.
  const rewritten = all.map((jwk) => Object.fromEntries(Object.entries(jwk).reverse())).reverse()
  const other = readKeySet({ keys: rewritten }, one)
  for (const alg of algorithmNames) {
    t.equal(other.find(`key-${alg}`, alg), one.find(`key-${alg}`, alg), alg)
  }
  t.ok(haveSameKeys(one, other))
  t.not(readKeySet({ keys: all }).find('key-ES256', 'ES256'), one.find('key-ES256', 'ES256'))
})

t.test('another kid, algorithm or public member is another key', async (t) => {
  const rsa = makeKey('RS256', 'a').publicJwk
  const old = readKeySet({ keys: [rsa, { ...rsa, kid: 'b' }, { ...rsa, alg: 'PS256' }] })
  t.equal(new Set(old.keys).size, 3)
  const next = readKeySet({ keys: [makeKey('RS256', 'a').publicJwk, { ...rsa, kid: 'c' }] }, old)
  t.notOk(next.keys.some((key) => old.keys.includes(key)))
  t.notOk(haveSameKeys(old, next))
  t.notOk(haveSameKeys(old, readKeySet({ keys: [rsa] }, old)), 'one is gone')
})

t.test('A26: a known key that becomes invalid is refused', async (t) => {
  const [jwk = {}, other = {}] = all
  const old = readKeySet({ keys: [jwk, other] })
  for (const change of [{ use: 'enc' }, { d: 'AAAA' }, { key_ops: ['sign'] }, { kid: '' }]) {
    const next = readKeySet({ keys: [{ ...jwk, ...change }, other] }, old)
    t.equal(next.keys.length, 1, JSON.stringify(change))
    t.equal(next.refused.length, 1)
  }
})

t.test('A10: a key stays the same object while it is in the set', async (t) => {
  const { server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  const find = () => keys.find('first', 'ES256')
  const key = find()
  t.type(key, 'object')
  await keys.refreshNow()
  t.equal(find(), key, 'the same keys')
  server.answer = serve([second, first])
  await keys.refreshNow()
  t.equal(find(), key, 'another key beside it')
  server.answer = serve([second])
  await keys.refreshNow()
  t.equal(find(), 'token_key_unknown')
  server.answer = serve([second, first])
  await keys.refreshNow()
  t.not(find(), key, 'what was cached for it is not good again')
  server.answer = respond(500, '')
  clock.advance_s(day_s)
  t.type(find(), 'object')
  clock.advance_s(1)
  t.equal(find(), 'keys_unavailable', 'too old')
})

t.test('refreshNow ignores the cooldown, and fetches after the call', async (t) => {
  const seen: (string | undefined)[] = []
  const { server, keys } = await setUp(t, serve([first, second]))
  await keys.ready()
  await keys.refresh('unknown')
  t.equal(server.requests, 1)

  const held = Promise.withResolvers<void>()
  server.answer = async (request, response) => {
    seen.push(request.headers['cache-control'])
    await held.promise
    serve([first, second])(request, response)
  }
  const requested = server.nextRequest()
  const early = keys.refreshNow()
  await requested
  const late = Promise.all([keys.refreshNow(), keys.refreshNow()])
  server.answer = (request, response) => {
    seen.push(request.headers['cache-control'])
    serve([first])(request, response)
  }
  held.resolve()
  await early
  await late
  t.same(seen, ['no-cache', 'no-cache'], 'one for the first, one for both of the others')
  t.equal(keys.find('second', 'ES256'), 'token_key_unknown')
})
