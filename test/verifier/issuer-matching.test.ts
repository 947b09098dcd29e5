import t from 'tap'
import type { Algorithm } from '../../src/tokens/algorithms.ts'
import { createVerifier, type KeySource } from '../../src/verifier/index.ts'
import { createFixedKeys, readKeySet } from '../../src/verifier/keys/key-source.ts'
import { FakeClock } from '../support/clock.ts'
import { audience, claimsWith, headerWith, makeKey, mint, now_s } from '../support/tokens.ts'
import { answerOf, overEveryAdapter, problemsOf } from './harness.ts'

const clock = new FakeClock(now_s * 1000)
const [issuerA, issuerB] = ['https://a.test', 'https://b.test']
/** Two keys of one id: each issuer names its keys as it likes. */
const keyA = makeKey('ES256', 'same')
const keyB = makeKey('ES256', 'same')
const jwksOf = (...keys: { publicJwk: object }[]) => ({ keys: keys.map((key) => key.publicJwk) })
const tokenOf = (key: typeof keyA, changes: Record<string, unknown>) =>
  mint(key, { payload: claimsWith(changes) })

t.test('accepts the tokens of each issuer', async (t) => {
  const verifier = createVerifier({
    clock,
    issuers: [
      { issuer: issuerA, audience, jwks: jwksOf(keyA) },
      { issuer: issuerB, audience: 'https://other.test', jwks: jwksOf(makeKey('RS256'), keyB) },
    ],
  })
  const expect = await overEveryAdapter(t, verifier)
  await expect(tokenOf(keyA, { iss: issuerA }), 'accepted')
  await expect(tokenOf(keyB, { iss: issuerB, aud: 'https://other.test' }), 'accepted')
  await expect(tokenOf(keyB, { iss: issuerB }), 'token_claims', 'the audience is the issuer’s')
  await expect(tokenOf(makeKey('ES256', 'same'), { iss: issuerA }), 'token_signature')
  await expect(tokenOf(makeKey('ES256', 'none'), { iss: issuerA }), 'token_key_unknown')
  t.same(
    verifier.status().issuers.map(({ issuer, keys }) => [issuer, keys.count]),
    [
      [issuerA, 1],
      [issuerB, 2],
    ],
  )
})

t.test('A8: no key signs for another issuer, in any order of issuers', async (t) => {
  const a = { issuer: issuerA, audience, jwks: jwksOf(keyA) }
  const b = { issuer: issuerB, audience, jwks: jwksOf(keyB) }
  for (const issuers of [
    [a, b],
    [b, a],
  ]) {
    const expect = await overEveryAdapter(t, createVerifier({ clock, issuers }))
    await expect(tokenOf(keyA, { iss: issuerA }), 'accepted', 'a clash of ids shuts nobody out')
    await expect(tokenOf(keyB, { iss: issuerB }), 'accepted')
    await expect(tokenOf(keyB, { iss: issuerA }), 'token_claims')
    await expect(tokenOf(keyA, { iss: issuerB }), 'token_claims')
  }
})

t.test('A8: an issuer that publishes the key of another issuer cannot sign for it', async (t) => {
  const issuers = [
    { issuer: issuerB, audience, jwks: jwksOf(keyA) },
    { issuer: issuerA, audience, jwks: jwksOf(keyA) },
    { issuer: 'https://d.test', audience, jwks: jwksOf(keyB) },
  ]
  const verifier = createVerifier({ clock, issuers })
  t.equal((await verifier.verify(tokenOf(keyA, { iss: issuerA }))).iss, issuerA)
  const expect = await overEveryAdapter(t, verifier)
  const ofNobody = tokenOf(keyA, { iss: 'https://c.test' })
  await expect(ofNobody, 'token_claims')
  const problems = [{ pointer: '/iss', detail: `must be "${issuerB}" or "${issuerA}"` }]
  await t.rejects(verifier.verify(ofNobody), { code: 'token_claims', problems })
})

t.test('only the tokens of an issuer wait for its keys', async (t) => {
  const asked: string[] = []
  const missing: KeySource = {
    find: (_kid: string, _alg: Algorithm) => 'keys_unavailable',
    ready: async () => {},
    refresh: async (kid) => void asked.push(kid),
    refreshNow: async () => {},
    status: () => ({
      count: 0,
      source: null,
      ageSeconds: null,
      nextRefreshSeconds: null,
      refused: [],
      lastError: null,
      fileError: null,
    }),
    close: async () => {},
  }
  const verifier = createVerifier({
    clock,
    issuers: [
      { issuer: issuerA, audience, keys: missing },
      { issuer: issuerB, audience, jwks: jwksOf(keyB) },
    ],
  })
  t.equal(await answerOf(() => verifier.verify(tokenOf(keyB, { iss: issuerB }))), 'accepted')
  t.same(asked, [])
  const ofA = tokenOf(makeKey('ES256', 'a-1'), { iss: issuerA })
  t.equal(await answerOf(() => verifier.verify(ofA)), 'keys_unavailable')
  t.same(asked, ['a-1'])
})

t.test('the keys of a slow issuer delay no token of another issuer', async (t) => {
  const slow = Promise.withResolvers<void>()
  const keysOf = (key: typeof keyA, refreshed: Promise<void>): KeySource => {
    const set = createFixedKeys(readKeySet(jwksOf(key)))
    let isLoaded = false
    return {
      ...set,
      find: (kid, alg) => (isLoaded ? set.find(kid, alg) : 'keys_unavailable'),
      refresh: async () => {
        await refreshed
        isLoaded = true
      },
    }
  }
  const verifier = createVerifier({
    clock,
    issuers: [
      { issuer: issuerB, audience, keys: keysOf(keyB, slow.promise) },
      { issuer: issuerA, audience, keys: keysOf(keyA, Promise.resolve()) },
    ],
  })
  const answer = (key: typeof keyA, changes: object) =>
    answerOf(() => verifier.verify(tokenOf(key, { iss: issuerA, ...changes })))
  const later = [
    answer(keyB, { iss: issuerB }),
    answer(keyA, { aud: 'https://other.test' }),
    answer(makeKey('ES256', 'none'), {}),
  ]
  t.equal(await answer(keyA, {}), 'accepted')
  slow.resolve()
  t.same(await Promise.all(later), ['accepted', 'token_claims', 'token_key_unknown'])
})

t.test('a revocation concerns the tokens of its issuer only', async (t) => {
  const revoked = (names: string[]) => ({
    isRevoked: ({ sid = '' }: { sid?: string }) => names.includes(sid),
  })
  const verifier = createVerifier({
    clock,
    issuers: [
      { issuer: issuerA, audience, jwks: jwksOf(keyA), revocations: revoked(['session-1']) },
      { issuer: issuerB, audience, jwks: jwksOf(keyB), revocations: revoked([]) },
    ],
  })
  const expect = await overEveryAdapter(t, verifier)
  await expect(tokenOf(keyA, { iss: issuerA }), 'token_revoked')
  await expect(tokenOf(keyB, { iss: issuerB }), 'accepted')
})

t.test('requires each issuer once, and complete', async (t) => {
  const a = { issuer: issuerA, audience, jwks: jwksOf(keyA) }
  const kept = { audience, jwksFile: 'jwks.json' }
  const wrong: [unknown, string][] = [
    [[], '/issuers'],
    [null, '/issuers'],
    [Array(33).fill(a), '/issuers'],
    [[a, a], '/issuers/1/issuer'],
    [[a, null], '/issuers/1'],
    [[{ ...a, audience: undefined }], '/issuers/0/audience'],
    [['a', 'b'].map((it) => ({ ...kept, issuer: `https://${it}.test` })), '/issuers/1/jwksFile'],
    [[{ ...a, clockToleranceSeconds: 1 }], '/issuers/0/clockToleranceSeconds'],
    [[{ ...a, jwks: { keys: [] } }], '/issuers/0/jwks'],
  ]
  for (const [issuers, pointer] of wrong) {
    t.match(problemsOf({ issuers }), [pointer])
  }
  t.throws(() => createVerifier({ ...a, issuers: [a] } as never), { code: 'config_invalid' })
})

t.test('a token must name the algorithm of its key, for every issuer', async (t) => {
  const header = headerWith(keyA, { alg: 'RS256' })
  const verifier = createVerifier({
    clock,
    issuers: [{ issuer: issuerA, audience, jwks: jwksOf(keyA) }],
  })
  const token = mint(keyA, { header, payload: claimsWith({ iss: issuerA }) })
  t.equal(await answerOf(() => verifier.verify(token)), 'token_algorithm')
})
