import t from 'tap'
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts'
import { claimsWith, mint, now_s } from '../support/tokens.ts'
import { keyOf, options, problemsOf } from './harness.ts'

t.test('accepts the options of the documentation', async (t) => {
  const remote = { issuer: 'https://auth.example.com', audience: 'https://api.example.com' }
  const good = [
    options,
    remote,
    { ...remote, issuer: 'http://localhost:4000/' },
    { ...remote, audience: null },
    { ...remote, audience: ['a', 'b'] },
    { ...remote, issuer: 'any name', jwksUri: 'https://keys.example.com/jwks?tenant=1' },
    { ...options, issuer: 'any name' },
    { ...remote, keys: createVerifierKeys() },
    { ...remote, jwksFile: 'jwks.json' },
    { ...remote, tokenTypes: ['at+jwt', 'JWT'] },
    { ...options, revocations: { isRevoked: () => false }, clock: { nowMs: () => 0 } },
    { ...options, clockToleranceSeconds: 0, maxTokenBytes: 256 },
    { ...remote, fetchTimeoutMs: 10, maxJwksAgeSeconds: 1 },
    { ...options, clockToleranceSeconds: undefined, jwksUri: undefined },
  ]
  for (const given of good) t.same(problemsOf(given), [])
})

t.test('the clock tolerance and the size of the cache have an effect', async (t) => {
  const tokenUntil = (exp: number) =>
    mint(keyOf('ES256'), { payload: claimsWith({ iat: exp - 300, exp }) })
  const usual = createVerifier(options)
  const strict = createVerifier({ ...options, clockToleranceSeconds: 0, cache: false })
  const cache = { maxBytes: 2_000_000 }
  const tolerant = createVerifier({ ...options, clockToleranceSeconds: 30, cache })
  const [justNow, before] = [tokenUntil(now_s - 1), tokenUntil(now_s - 20)]
  await t.rejects(strict.verify(justNow), { code: 'token_expired' })
  t.match(await usual.verify(justNow), { sub: 'user-1' })
  await t.rejects(usual.verify(before), { code: 'token_expired' })
  t.match(await tolerant.verify(before), { sub: 'user-1' })
  t.equal(strict.status().cache, null)
  t.match(tolerant.status().cache, cache)
  const unset = { maxBytes: undefined as unknown as number }
  t.match(createVerifier({ ...options, cache: unset }).status().cache, {
    maxBytes: 128 * 1024 ** 2,
  })
})

function createVerifierKeys() {
  return {
    find: () => 'keys_unavailable',
    ready: async () => {},
    refresh: async () => {},
    refreshNow: async () => {},
    status: () => ({ count: 0, ageSeconds: null, refused: [], lastError: null }),
    close: async () => {},
  }
}

t.test('A22: refuses every value out of its range', async (t) => {
  const wrong: Record<string, unknown[]> = {
    issuer: [undefined, null, '', 1, ['https://auth.test'], /./],
    audience: [undefined, '', 1, [], [''], ['a', 1], {}, /./],
    clockToleranceSeconds: [Number.POSITIVE_INFINITY, Number.NaN, -1, 301, 0.5, '5', null],
    maxTokenBytes: [Number.POSITIVE_INFINITY, 0, 255, 65_537, '8192', null],
    jwks: [null, '', 'secret', [], {}, { keys: [] }, { keys: ['secret'] }],
    revocations: [null, 1, 'true', () => false],
    clock: [null, {}, Date, { nowMs: () => undefined }, { nowMs: async () => Date.now() }],
    clockTolerence_s: [5],
    algorithms: [['none']],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      t.same(problemsOf({ ...options, [name]: value }), [`/${name}`], `${name}: ${String(value)}`)
    }
  }
  const { jwks: _, ...remote } = options
  for (const value of [Number.POSITIVE_INFINITY, 0, -1, 31 * 86_400, null]) {
    t.same(problemsOf({ ...remote, fetchTimeoutMs: value }), ['/fetchTimeoutMs'])
    t.same(problemsOf({ ...remote, maxJwksAgeSeconds: value }), ['/maxJwksAgeSeconds'])
  }
  for (const given of [undefined, null, 'https://auth.test', 1]) t.same(problemsOf(given), [''])
  t.throws(() => createVerifier(undefined as unknown as VerifierOptions), {
    message: 'Verifier options: the options must be an object',
  })
})

t.test('an error says where an option belongs: beside issuers, or within', async (t) => {
  const { issuer, audience } = options
  const issuers = [{ issuer, audience, clockToleranceSeconds: 5, algorithms: [] }]
  const given = { issuers, audience, fetchTimeoutMs: 100, algorithms: [] }
  const problems = [
    '/audience: it is an option of each of the issuers',
    '/fetchTimeoutMs: it is an option of each of the issuers',
    '/algorithms: there is no such option',
    '/issuers/0/clockToleranceSeconds: it is an option for all issuers, beside issuers',
    '/issuers/0/algorithms: there is no such option',
  ]
  const message = `Verifier options: ${problems.join('; ')}`
  t.throws(() => createVerifier(given as never), { message })
})

t.test('the issuers that are checked are those that are trusted', async (t) => {
  const inherited = { issuers: [{ ...options, issuer: 'https://other.test', audience: [] }] }
  const own = Object.assign(Object.create(inherited), options)
  const { issuers } = createVerifier(own).status()
  t.same(
    issuers.map(({ issuer }) => issuer),
    [options.issuer],
  )
})

t.test('refuses addresses that keys cannot be fetched from', async (t) => {
  const { jwks: _, ...remote } = options
  for (const address of [
    'auth.test',
    'ftp://auth.test',
    'file:///keys',
    'https://user:pw@auth.test',
    'https://auth.test\n',
    'https://',
  ]) {
    t.same(problemsOf({ ...remote, issuer: address }), ['/issuer'], address)
    t.same(problemsOf({ ...remote, jwksUri: address }), ['/jwksUri'], address)
  }
  for (const address of ['https://auth.test?a', 'https://auth.test#a']) {
    t.same(problemsOf({ ...remote, issuer: address }), ['/issuer'], address)
  }
})

t.test('accepts one source of keys', async (t) => {
  t.same(problemsOf({ ...options, jwksUri: 'https://auth.test/keys' }), ['/keys'])
  t.same(problemsOf({ ...options, keys: createVerifierKeys() }), ['/keys'])
})

t.test('refuses the options of fetches where nothing is fetched', async (t) => {
  const { jwks: _, ...remote } = options
  const fetches = { jwksFile: 'jwks.json', maxJwksAgeSeconds: 60, fetchTimeoutMs: 100 }
  const pointers = ['/jwksFile', '/maxJwksAgeSeconds', '/fetchTimeoutMs']
  const revocations = { isRevoked: () => false }
  const keys = createVerifierKeys()
  for (const fixed of [options, { ...remote, keys }, { ...options, revocations }]) {
    t.same(problemsOf({ ...fixed, ...fetches }), pointers)
  }
  const feed = createVerifier({ ...options, revocations: true, fetchTimeoutMs: 100 })
  await feed.close()
  for (const jwksFile of ['', null, 1]) t.same(problemsOf({ ...remote, jwksFile }), ['/jwksFile'])
})

t.test('a key source has all its methods', async (t) => {
  const { jwks: _, ...remote } = options
  for (const missing of ['find', 'refreshNow', 'close']) {
    const keys = { ...createVerifierKeys(), [missing]: undefined }
    t.same(problemsOf({ ...remote, keys }), ['/keys'], missing)
  }
})

t.test('the optional members of a revocation list are checked, too', (t) => {
  const list = { isRevoked: () => false }
  const wrong = {
    stalenessSeconds: [null, 5],
    maxStalenessSeconds: [null, '60', Number.NaN, -1, () => 60],
    ready: [true],
    status: [{}],
    close: [null],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const pointers = problemsOf({ ...options, revocations: { ...list, [name]: value } })
      t.same(pointers, [`/revocations/${name}`], `${name}: ${String(value)}`)
    }
  }
  const maxStalenessSeconds = Number.POSITIVE_INFINITY
  t.same(problemsOf({ ...options, revocations: { ...list, maxStalenessSeconds } }), [])
  t.end()
})

t.test('lists every problem at once', async (t) => {
  const given = {
    audience: undefined,
    clockToleranceSeconds: 1e9,
    jwks: { keys: [] },
    colour: 'red',
  }
  t.same(problemsOf(given).sort(), [
    '/audience',
    '/clockToleranceSeconds',
    '/colour',
    '/issuer',
    '/jwks',
  ])
  t.throws(() => createVerifier(given as unknown as VerifierOptions), {
    message: /\/colour: .*\/jwks: /,
  })
})
