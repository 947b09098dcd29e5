import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { createVerifier, type VerifierOptions } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { makeRocaKey } from '../../support/roca.ts'
import {
  claimsWith,
  encode,
  headerWith,
  makeKey,
  mint,
  now_s,
  type TestKey,
} from '../../support/tokens.ts'
import { answerOf, jwks, keyOf, keys, openHarness, options, overEveryAdapter } from '../harness.ts'
import { JwksServer, respond, serve } from '../jwks-server.ts'

const es256 = keyOf('ES256')

function isRefused(t: Test, changes: Record<string, unknown>, what: string): void {
  const given = { ...options, ...changes } as unknown as VerifierOptions
  t.throws(() => createVerifier(given), { code: 'config_invalid' }, what)
}

t.test('A2: a public key used as an HMAC secret', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const published = JSON.stringify(key.publicJwk)
    for (const alg of ['HS256', 'HS384', 'HS512', key.alg]) {
      const input = `${encode(headerWith(key, { alg }))}.${encode(claimsWith())}`
      const mac = createHmac('sha256', published).update(input).digest('base64url')
      await expect(`${input}.${mac}`, alg === key.alg ? 'token_signature' : 'token_algorithm')
    }
  }
  for (const secret of ['secret', Buffer.from('secret'), es256.privateKey]) {
    isRefused(t, { jwks: { keys: [secret] } }, 'a key is a JWK object')
    isRefused(t, { jwks: secret }, 'a key set is an object with keys')
  }
  isRefused(t, { jwks: { keys: [{ kty: 'oct', kid: 'a', alg: 'HS256', k: 'c2VjcmV0' }] } }, 'oct')
})

t.test('A3: alg taken from the header when the key names none', async (t) => {
  const { alg: _, ...unbound } = keyOf('RS256').publicJwk
  isRefused(t, { jwks: { keys: [unbound] } }, 'a key must name its algorithm')

  const expect = await openHarness(t)
  for (const key of keys) {
    for (const { alg } of keys) {
      if (alg === key.alg) continue
      await expect(mint(key, { header: headerWith(key, { alg }) }), 'token_algorithm')
      const other: TestKey = { ...keyOf(alg), kid: key.kid }
      await expect(mint(other), 'token_algorithm', `${alg} under the kid of ${key.alg}`)
    }
  }
  const rsa = keyOf('RS256')
  await expect(mint({ ...rsa, alg: 'PS256' }), 'token_algorithm', 'the same RSA key, otherwise')
})

t.test('A4: an empty secret from a resolver', async (t) => {
  for (const value of ['', null, [], [''], {}, { keys: [] }, { keys: {} }, { keys: [''] }]) {
    isRefused(t, { jwks: value }, JSON.stringify(value))
  }
  isRefused(t, { jwks: { keys: [{ kty: 'oct', kid: 'a', alg: 'HS256', k: '' }] } }, 'an empty key')
  isRefused(t, { jwks: undefined, keys: () => '' }, 'a resolver')
})

t.test('A8: two issuers with one kid share no key', async (t) => {
  for (const { alg } of keys) {
    const key = { a: makeKey(alg, 'same'), b: makeKey(alg, 'same') }
    const trust = (of: 'a' | 'b') =>
      openHarness(t, { issuer: `https://${of}.test`, jwks: { keys: [key[of].publicJwk] } })
    const expect = { a: await trust('a'), b: await trust('b') }
    const from = (of: 'a' | 'b', iss: string) =>
      mint(key[of], { payload: claimsWith({ iss: `https://${iss}.test` }) })
    await expect.a(from('a', 'a'), 'accepted')
    await expect.b(from('b', 'b'), 'accepted')
    for (const iss of ['a', 'b']) {
      await expect.a(from('b', iss), 'token_signature')
      await expect.b(from('a', iss), 'token_signature')
    }
    await expect.b(from('b', 'a'), 'token_claims')
  }
})

t.test('A8: nor do two issuers of one verifier, whose tokens are in one cache', async (t) => {
  for (const { alg } of keys) {
    const key = { a: makeKey(alg, 'same'), b: makeKey(alg, 'same') }
    const issuers = (['a', 'b'] as const).map((of) => ({
      issuer: `https://${of}.test`,
      audience: null,
      jwks: { keys: [key[of].publicJwk] },
    }))
    const verifier = createVerifier({ issuers, clock: new FakeClock(now_s * 1000) })
    const expect = await overEveryAdapter(t, verifier)
    const from = (of: 'a' | 'b', iss: string) =>
      mint(key[of], { payload: claimsWith({ iss: `https://${iss}.test` }) })
    for (let round = 0; round < 2; round += 1) {
      await expect(from('a', 'a'), 'accepted')
      await expect(from('b', 'b'), 'accepted')
      await expect(from('a', 'b'), 'token_claims', 'a speaks for b')
      await expect(from('b', 'a'), 'token_claims', 'b speaks for a')
      await expect(from('a', 'c'), 'token_claims', 'for one that nobody trusts')
    }
  }
})

t.test('A9: an unknown kid is not answered by another key', async (t) => {
  for (const key of keys) {
    const expect = await openHarness(t, { jwks: { keys: [key.publicJwk] } })
    const header = headerWith(key, { kid: 'unknown' })
    await expect(mint(key, { header }), 'token_key_unknown', key.alg)
  }
})

t.test('A10: a key that is no longer published is no longer known', async (t) => {
  const clock = new FakeClock(now_s * 1000)
  const old = makeKey('ES256', 'old')
  const next = makeKey('ES256', 'next')
  const server = await JwksServer.open(t, serve([old], { 'cache-control': 'max-age=300' }))
  const { issuer } = server
  const verifier = createVerifier({ issuer, audience: null, clock, clockToleranceSeconds: 300 })
  t.teardown(() => verifier.close())
  const payload = claimsWith({ iss: issuer, exp: now_s + 3600 })
  const tokens = { old: mint(old, { payload }), next: mint(next, { payload }) }

  t.equal(await answerOf(() => verifier.verify(tokens.old)), 'accepted')
  server.answer = serve([next])
  clock.advance_s(6)
  t.equal(await answerOf(() => verifier.verify(tokens.next)), 'accepted')
  t.equal(await answerOf(() => verifier.verify(tokens.old)), 'token_key_unknown')
  t.throws(() => verifier.verifySync(tokens.old), { code: 'token_key_unknown' })
  t.equal(verifier.status().keys.count, 1)
})

t.test('A26: a weak key is refused and reported, and the others serve', async (t) => {
  const weak = { ...keyOf('RS256').publicJwk, kid: 'weak', e: 'AQ' }
  const offCurve = { ...es256.publicJwk, kid: 'off-curve', x: es256.publicJwk.y }
  const given = { keys: [weak, offCurve, ...jwks.keys, es256.publicJwk, null as unknown as object] }
  const verifier = createVerifier({ ...options, jwks: given })
  t.match(verifier.status().keys, {
    count: keys.length,
    refused: [
      { kid: 'weak', reason: /its e/ },
      { kid: 'off-curve', reason: /not a valid public key/ },
      { kid: 'key-ES256', reason: /another key/ },
      { kid: null, reason: /not a JSON object/ },
    ],
  })
  const expect = await openHarness(t, { jwks: given })
  for (const key of keys) await expect(mint(key), 'accepted', key.alg)
  await expect(mint({ ...keyOf('RS256'), kid: 'weak' }), 'token_key_unknown')

  const server = await JwksServer.open(t, respond(200, JSON.stringify(given)))
  const remote = createVerifier({ issuer: server.issuer, audience: null })
  t.teardown(() => remote.close())
  await remote.ready()
  t.equal(remote.status().keys.refused.length, 4)
  t.equal(remote.status().keys.count, keys.length)
})

t.test('A26: an RSA key that can be factored (ROCA) is refused and reported', async (t) => {
  for (const alg of ['RS256', 'PS256'] as const) {
    const roca = makeRocaKey(alg, 'roca')
    const given = { keys: [roca.publicJwk, ...jwks.keys] }
    const verifier = createVerifier({ ...options, jwks: given })
    t.match(verifier.status().keys, {
      count: keys.length,
      refused: [{ kid: 'roca', reason: /ROCA fingerprint/ }],
    })
    const expect = await openHarness(t, { jwks: given })
    await expect(mint(roca), 'token_key_unknown')
    await expect(mint(keyOf(alg)), 'accepted')
    isRefused(t, { jwks: { keys: [roca.publicJwk] } }, 'nor can it be the only key')
  }
})
