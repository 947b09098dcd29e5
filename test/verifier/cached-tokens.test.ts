import t from 'tap'
import { createVerifier } from '../../src/verifier/index.ts'
import { verifyNowOf } from '../../src/verifier/verifier.ts'
import { FakeClock } from '../support/clock.ts'
import {
  audience,
  claimsWith,
  issuer,
  makeKey,
  mint,
  now_s,
  withSignature,
} from '../support/tokens.ts'
import { answerOf, changingKeys, keyOf, openHarness, options, overEveryAdapter } from './harness.ts'

const key = keyOf('ES256')
const token = mint(key)

t.test('a repeated token comes from the cache, with the same frozen claims', async (t) => {
  const verifier = createVerifier(options)
  const first = await verifier.verify(token)
  // As a server has it: another string of the same text.
  const again = `${token.slice(0, 9)}${token.slice(9)}`
  const claims = verifier.verifySync(again)
  t.same(claims, first)
  t.equal(verifyNowOf(verifier)(again), claims)
  t.equal(await verifier.verify(again), claims)
  t.ok(Object.isFrozen(claims))
  t.match(verifier.status().cache, { tokens: 1, hits: 3, misses: 1 })
})

t.test('the cache can be switched off, or have another size', async (t) => {
  const verifier = createVerifier({ ...options, cache: false })
  t.not(verifier.verifySync(token), verifier.verifySync(token))
  t.equal(verifier.status().cache, null)
  const small = createVerifier({ ...options, cache: { maxBytes: 1024 ** 2 } })
  t.equal(small.status().cache?.maxBytes, 1024 ** 2)
  for (const cache of [true, null, {}, { maxBytes: 1 }, { maxBytes: 1024 ** 2, x: 1 }, 5]) {
    t.throws(
      () => createVerifier({ ...options, cache } as never),
      { code: 'config_invalid' },
      JSON.stringify(cache),
    )
  }
})

t.test('A21: refused tokens are not cached', async (t) => {
  const verifier = createVerifier(options)
  const forged = withSignature(token, (signature) => signature.reverse())
  const bad = [
    forged,
    mint(key, { payload: claimsWith({ exp: 1 }) }),
    mint(key, { payload: claimsWith({ aud: 'x' }) }),
    'a.b.c',
    token.slice(1),
    undefined as unknown as string,
  ]
  for (const one of [...bad, ...bad]) await answerOf(() => verifier.verify(one))
  t.match(verifier.status().cache, { tokens: 0, bytes: 0 })
})

t.test('A21: a changed text of a cached token is not that token', async (t) => {
  const expect = await openHarness(t)
  await expect(token, 'accepted')
  const [header, , signature] = token.split('.')
  const other = mint(key, { payload: claimsWith({ sub: 'admin' }) }).split('.')[1]
  await expect(`${header}.${other}.${signature}`, 'token_signature')
  await expect(token, 'accepted')
})

t.test('A21: times and requirements are checked at each use', async (t) => {
  const clock = new FakeClock(now_s * 1000)
  const verifier = createVerifier({ ...options, clock })
  verifier.verifySync(token)
  const codeFor = (requirements: object) => answerOf(() => verifier.verify(token, requirements))
  t.equal(await codeFor({ scope: 'orders:read' }), 'accepted')
  t.equal(await codeFor({ scope: 'orders:write' }), 'scope_insufficient')
  t.equal(await codeFor({ audience }), 'accepted')
  t.equal(await codeFor({ audience: ['https://x.test', audience] }), 'accepted')
  t.equal(await codeFor({ audience: 'https://x.test' }), 'token_claims')
  t.equal(await codeFor({ failClosed: true }), 'revocations_stale', 'nothing is followed')
  t.equal(await codeFor({ failClosed: false }), 'accepted')
  clock.advance_s(305)
  t.equal(await codeFor({}), 'token_expired')
  clock.advance_s(-600)
  t.equal(await codeFor({}), 'token_not_yet_valid', 'the clock was set back')
})

t.test('a misspelled or invalid requirement is not ignored', async (t) => {
  const revocations = { isRevoked: () => false, stalenessSeconds: () => 31 }
  const verifier = createVerifier({ ...options, revocations })
  const codeFor = (requirements: object) => answerOf(() => verifier.verify(token, requirements))
  for (const requirements of [
    { scopes: 'a' },
    { scope: 'orders:read', aud: audience },
    { scope: ['orders:read'] },
    { audience: null },
    { audience: [] },
    { audience: [1] },
    { failClosed: 'yes' },
    { failClosed: 1 },
    { failClosed: {} },
    { failClosed: { maxStaleness: 60 } },
    { failClosed: null },
    { dpop: null },
    { dpop: true },
    { dpop: { proof: 'a' } },
  ]) {
    t.equal(await codeFor(requirements), 'config_invalid', JSON.stringify(requirements))
  }
  for (const none of [null, 'orders:read', 0]) {
    t.equal(await codeFor(none as never), 'config_invalid')
    t.throws(() => verifier.verifySync(token, none as never), {
      code: 'config_invalid',
      message: 'The requirements must be an object.',
    })
  }
})

t.test('fails closed by the age of the revocation list', async (t) => {
  let stalenessSeconds = 0
  const revocations = { isRevoked: () => false, stalenessSeconds: () => stalenessSeconds }
  const verifier = createVerifier({ ...options, revocations })
  const codeFor = (failClosed: boolean | { maxStalenessSeconds: number }) =>
    answerOf(() => verifier.verify(token, { failClosed }))
  for (const [age_s, byDefault, strictly] of [
    [0, 'accepted', 'accepted'],
    [5, 'accepted', 'accepted'],
    [6, 'accepted', 'revocations_stale'],
    [31, 'revocations_stale', 'revocations_stale'],
    [Number.NaN, 'revocations_stale', 'revocations_stale'],
  ] as const) {
    stalenessSeconds = age_s
    t.equal(await codeFor(true), byDefault)
    t.equal(await codeFor({ maxStalenessSeconds: 5 }), strictly)
    t.equal(await codeFor(false), 'accepted')
  }
})

t.test('A10, A21: a cached token is refused when its key leaves the set', async (t) => {
  const other = makeKey('ES256', 'other')
  const keys = changingKeys(key)
  const verifier = createVerifier({
    issuer,
    audience,
    keys: keys.source,
    clock: new FakeClock(now_s * 1000),
  })
  const expect = await overEveryAdapter(t, verifier)
  await expect(token, 'accepted')
  keys.replace(key, other)
  await expect(token, 'accepted')
  keys.replace(other)
  await expect(token, 'token_key_unknown')
  t.equal(verifier.status().cache?.tokens, 0)
  keys.replace(makeKey('ES256', key.kid))
  await expect(token, 'token_signature', 'another key of the same id')
  keys.replace(key)
  await expect(token, 'accepted')
  keys.fail()
  await expect(token, 'keys_unavailable', 'not 401, and not from the cache')
})
