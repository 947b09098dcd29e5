import { SignJWT } from 'jose'
import t from 'tap'
import {
  createVerifier,
  GatepassError,
  type KeySource,
  type KeySourceStatus,
  type Revocations,
  type Verifier,
} from '../../src/verifier/index.ts'
import { createFixedKeys, readKeySet } from '../../src/verifier/keys/key-source.ts'
import { FakeClock } from '../support/clock.ts'
import fc, { anyText } from '../support/properties.ts'
import { claimsWith, encode, headerWith, issuer, mint, now_s } from '../support/tokens.ts'
import { answerOf, keyOf, keys, openHarness, options } from './harness.ts'

const verifier = createVerifier(options)
const token = mint(keyOf('ES256'))

t.test('verify and verifySync return the same claims', async (t) => {
  t.same(await verifier.verify(token), claimsWith())
  t.same(verifier.verifySync(token), claimsWith())
})

t.test('accepts tokens of jose, with every algorithm', async (t) => {
  const expect = await openHarness(t)
  for (const { alg, kid, privateKey } of keys) {
    const token = await new SignJWT(claimsWith())
      .setProtectedHeader({ alg, kid, typ: 'at+jwt' })
      .sign(privateKey)
    await expect(token, 'accepted', alg)
  }
})

t.test('checks the signature before any claim', async (t) => {
  const expect = await openHarness(t)
  for (const payload of [claimsWith({ exp: 1 }), claimsWith({ iss: 'x' }), '{', '']) {
    const forged = `${encode(headerWith(keyOf('ES256')))}.${encode(payload)}.${'A'.repeat(86)}`
    await expect(forged, 'token_signature')
  }
})

t.test('refuses an expired token, a token from the future, and another audience', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const mintWith = (changes: Record<string, unknown>) =>
      mint(key, { payload: claimsWith(changes) })
    await expect(mintWith({ exp: now_s - 5 }), 'token_expired')
    await expect(mintWith({ exp: now_s - 4 }), 'accepted', 'within the tolerance')
    await expect(mintWith({ nbf: now_s + 6 }), 'token_not_yet_valid')
    await expect(mintWith({ iat: now_s + 6 }), 'token_not_yet_valid')
    await expect(mintWith({ aud: 'https://other.test' }), 'token_claims')
  }
})

t.test('accepts a token by its exact text only', async (t) => {
  const put = fc.oneof(fc.string({ maxLength: 2 }), fc.constantFrom('.', '=', 'A', '-', '_', ' '))
  for (const key of keys) {
    const token = mint(key)
    fc.assert(
      fc.property(fc.nat(token.length), fc.nat(2), put, (at, cut, put) => {
        const changed = token.slice(0, at) + put + token.slice(at + cut)
        return changed === token || codeOf(verifier, changed) !== 'accepted'
      }),
      { numRuns: 300 },
    )
    t.equal(codeOf(verifier, token), 'accepted')
  }
})

t.test('parts of two valid tokens are not a valid token', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const [header, payload] = mint(key, { payload: claimsWith({ sub: 'admin' }) }).split('.')
    const [, , signature] = mint(key).split('.')
    await expect(`${header}.${payload}.${signature}`, 'token_signature')
  }
})

t.test('throws GatepassErrors only, and verify and verifySync agree', async (t) => {
  const parts = fc.array(fc.oneof(fc.json(), fc.string()).map(encode), { maxLength: 5 })
  const headers = fc
    .record({
      alg: fc.constantFrom('ES256', 'RS256', 'none'),
      typ: fc.constant('at+jwt'),
      kid: fc.constantFrom('key-ES256', 'x'),
    })
    .map((header) => `${encode(header)}.${encode('{}')}.AAAA`)
  const texts = fc.oneof(
    anyText,
    parts.map((all) => all.join('.')),
    headers,
  )
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      return (await answerOf(() => verifier.verify(text))) === codeOf(verifier, text)
    }),
  )
  for (const value of [undefined, null, 0, {}, [], [token], Buffer.from(token), Symbol('x')]) {
    t.equal(codeOf(verifier, value as string), 'token_malformed')
    await t.rejects(verifier.verify(value as string), { code: 'token_malformed' })
  }
})

function codeOf(verifier: Verifier, token: string): string {
  try {
    verifier.verifySync(token)
    return 'accepted'
  } catch (error) {
    if (error instanceof GatepassError) return error.code
    throw error
  }
}

t.test('no error quotes the token', async (t) => {
  const marks = { payload: claimsWith({ sub: 'secret-user', aud: 'secret-audience' }) }
  const tokens = [
    mint(keyOf('ES256'), marks),
    mint(keyOf('ES256'), { payload: '{"secret' }),
    'secret.secret.secret',
  ]
  for (const token of tokens) {
    const error = await verifier.verify(token).catch((error) => error)
    const { message, detail, stack, cause } = error
    t.notMatch([message, detail, stack, cause?.message, cause?.stack].join(' '), /secret/)
    for (const part of token.split('.')) t.notOk(`${message} ${cause?.message}`.includes(part))
  }
})

t.test('checks revocations at each use, after the signature and the claims', async (t) => {
  const revoked = new Set<string>()
  const expect = await openHarness(t, {
    revocations: { isRevoked: (claims) => revoked.has(claims.sid ?? '') },
  })
  await expect(token, 'accepted')
  revoked.add('session-1')
  await expect(token, 'token_revoked')
  await expect(mint(keyOf('ES256'), { payload: claimsWith({ exp: 1 }) }), 'token_expired')
  revoked.clear()
  await expect(token, 'accepted')
})

t.test('a token is refused if a component fails', async (t) => {
  const isRevoked = () => {
    throw new TypeError('the feed broke')
  }
  const expect = await openHarness(t, { revocations: { isRevoked } })
  await expect(token, 'internal_error')
})

t.test('an asynchronous list of revocations revokes nothing and ends no process', async (t) => {
  for (const answer of [
    () => Promise.resolve(false),
    () => Promise.reject(new Error('it broke')),
  ]) {
    const isRevoked = answer as unknown as Revocations['isRevoked']
    const verifier = createVerifier({ ...options, revocations: { isRevoked } })
    t.equal(codeOf(verifier, token), 'internal_error')
    await t.rejects(verifier.verify(token), { cause: { message: /returned a promise/ } })
    const stalenessSeconds = answer as unknown as () => number
    const closed = createVerifier({
      ...options,
      revocations: { isRevoked: () => false, stalenessSeconds },
    })
    await t.rejects(closed.verify(token, { failClosed: true }), { code: 'internal_error' })
  }
  // The rejection is reported after this turn of the event loop, and would fail the test.
  await new Promise((resolve) => setImmediate(resolve))
})

t.test('a token expires while the verifier runs', async (t) => {
  const clock = new FakeClock(now_s * 1000)
  const expect = await openHarness(t, { clock })
  await expect(token, 'accepted')
  clock.advance_s(304)
  await expect(token, 'accepted')
  clock.advance_s(1)
  await expect(token, 'token_expired')
})

t.test('uses and closes a key source of the application', async (t) => {
  const events: string[] = []
  const status: KeySourceStatus = {
    count: 0,
    source: 'own',
    ageSeconds: null,
    nextRefreshSeconds: null,
    refused: [],
    lastError: null,
    fileError: null,
  }
  const keys: KeySource = {
    find: () => 'keys_unavailable',
    ready: async () => void events.push('ready'),
    refresh: async () => void events.push('refresh'),
    refreshNow: async () => void events.push('refreshNow'),
    status: () => status,
    close: async () => void events.push('close'),
  }
  const { jwks: _, ...others } = options
  const verifier = createVerifier({ ...others, keys })
  await verifier.ready()
  t.equal(await answerOf(() => verifier.verify(token)), 'keys_unavailable')
  t.equal(codeOf(verifier, token), 'keys_unavailable')
  await verifier.close()
  t.same(events, ['ready', 'refresh', 'refresh', 'close'])
})

t.test('a key source that breaks its contract ends no process', async (t) => {
  const { jwks: _, ...others } = options
  const keys: KeySource = {
    ...createFixedKeys(readKeySet(options.jwks)),
    find: () => 'token_key_unknown',
    refresh: () => Promise.reject(new Error('it broke')),
  }
  const find = (() => Promise.reject(new Error('it broke'))) as unknown as KeySource['find']
  const asynchronous = createVerifier({ ...others, keys: { ...keys, find } })
  t.equal(codeOf(asynchronous, token), 'internal_error')
  const verifier = createVerifier({ ...others, keys })
  t.equal(codeOf(verifier, token), 'token_key_unknown')
  // The rejection is reported after this turn of the event loop, and would fail the test.
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(await answerOf(() => verifier.verify(token)), 'internal_error')
})

t.test('a key source renews its keys once for each token', async (t) => {
  const { jwks: _, ...others } = options
  let renewals = 0
  let failure: Error | null = null
  const keys: KeySource = {
    ...createFixedKeys(readKeySet(options.jwks)),
    // An asynchronous function returns a promise, even if no keys are due.
    renew: async () => {
      renewals += 1
      if (failure !== null || renewals > 5) throw failure
    },
  }
  const verifier = createVerifier({ ...others, keys })
  t.equal(await answerOf(() => verifier.verify(token)), 'accepted')
  t.equal(renewals, 1)
  t.equal(await answerOf(() => verifier.verify(token)), 'accepted', 'from the cache')
  t.equal(renewals, 2)
  failure = new Error('it broke')
  t.equal(await answerOf(() => verifier.verify(token)), 'internal_error')
  t.match(verifier.status().outcomes, { accepted: 2, internal_error: 1 })
})

t.test('fixed keys are ready immediately and have no age', async (t) => {
  const verifier = createVerifier(options)
  await verifier.ready()
  t.match(verifier.status().keys, {
    count: keys.length,
    source: 'fixed',
    ageSeconds: null,
    lastError: null,
  })
  await verifier.close()
  t.equal(verifier.verifySync(token).iss, issuer, 'what is in memory still serves')
})
