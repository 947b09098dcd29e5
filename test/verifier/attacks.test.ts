import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts'
import {
  claimsWith,
  encode,
  headerWith,
  makeKey,
  mint,
  now_s,
  signBytes,
  TestClock,
  type TestKey,
  withSignature,
} from '../support/tokens.ts'
import { answerOf, jwks, keyOf, keys, openHarness, options } from './harness.ts'
import { JwksServer, respond, serve } from './jwks-server.ts'

const es256 = keyOf('ES256')
/** The order of P-256. */
const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

function bytes32(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}

function number(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}

function isRefused(t: Test, changes: Record<string, unknown>, what: string): void {
  const given = { ...options, ...changes } as unknown as VerifierOptions
  t.throws(() => createVerifier(given), { code: 'config_invalid' }, what)
}

t.test('a good token of every algorithm is accepted', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) await expect(mint(key), 'accepted', key.alg)
})

t.test('A1: alg none in any case, with an empty signature', async (t) => {
  const expect = await openHarness(t)
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', null, undefined]) {
    for (const key of keys) {
      const token = `${encode(headerWith(key, { alg }))}.${encode(claimsWith())}.`
      await expect(token, 'token_algorithm', `${alg} for ${key.alg}`)
    }
  }
  for (const key of keys)
    await expect(
      withSignature(mint(key), () => Buffer.alloc(0)),
      'token_signature',
    )
})

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

t.test('A5: a key in the header is not used', async (t) => {
  const expect = await openHarness(t)
  for (const { alg, kid } of keys) {
    const thief = makeKey(alg, kid)
    const embedded = { jwk: thief.publicJwk, x5c: [thief.publicJwk.x ?? 'AAAA'], x5t: 'AAAA' }
    await expect(mint(thief, { header: headerWith(thief, embedded) }), 'token_signature', alg)
    const unknown = { ...thief, kid: 'thief' }
    await expect(mint(unknown, { header: headerWith(unknown, embedded) }), 'token_key_unknown', alg)
    const own = keyOf(alg)
    await expect(mint(own, { header: headerWith(own, embedded) }), 'accepted', `${alg}, ignored`)
  }
})

t.test('A6: nothing is fetched from an address in the header', async (t) => {
  const thief = makeKey('ES256', 'thief')
  const server = await JwksServer.open(t, serve([thief]))
  const expect = await openHarness(t)
  const addresses = { jku: `${server.issuer}/keys`, x5u: `${server.issuer}/certificate` }
  await expect(mint(thief, { header: headerWith(thief, addresses) }), 'token_key_unknown')
  await expect(mint(es256, { header: headerWith(es256, addresses) }), 'accepted')
  t.equal(server.requests, 0)
})

t.test('A7: a kid with a path, SQL, control characters, or huge', async (t) => {
  const expect = await openHarness(t)
  const unknown = [
    '../../dev/null',
    "' OR 1=1 --",
    '__proto__',
    'constructor',
    '*',
    ' ',
    'x'.repeat(256),
  ]
  const { kid } = es256
  for (const other of [...unknown, `${kid} `, kid.toUpperCase(), kid.slice(0, -1)]) {
    await expect(mint(es256, { header: headerWith(es256, { kid: other }) }), 'token_key_unknown')
  }
  for (const other of [
    '',
    `${kid}\0`,
    '\n',
    'x'.repeat(257),
    'x'.repeat(4000),
    1,
    null,
    [kid],
    { kid },
  ]) {
    await expect(mint(es256, { header: headerWith(es256, { kid: other }) }), 'token_malformed')
  }
  await expect(mint(es256, { header: headerWith(es256, { kid: undefined }) }), 'token_key_unknown')
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

t.test('A9: an unknown kid is not answered by another key', async (t) => {
  for (const key of keys) {
    const expect = await openHarness(t, { jwks: { keys: [key.publicJwk] } })
    const header = headerWith(key, { kid: 'unknown' })
    await expect(mint(key, { header }), 'token_key_unknown', key.alg)
  }
})

t.test('A10: a key that is no longer published is no longer known', async (t) => {
  const clock = new TestClock()
  const old = makeKey('ES256', 'old')
  const next = makeKey('ES256', 'next')
  const server = await JwksServer.open(t, serve([old], { 'cache-control': 'max-age=300' }))
  const { issuer } = server
  const verifier = createVerifier({ issuer, audience: null, clock, clockTolerance_s: 300 })
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

t.test('A11: r or s zero or out of range', async (t) => {
  const expect = await openHarness(t)
  const token = mint(es256)
  const wrong = [0n, n, n + 1n, 2n ** 256n - 1n]
  for (const r of wrong) {
    for (const s of wrong) {
      await expect(
        withSignature(token, () => Buffer.concat([bytes32(r), bytes32(s)])),
        'token_signature',
      )
    }
    await expect(
      withSignature(token, (own) => Buffer.concat([bytes32(r), own.subarray(32)])),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => Buffer.concat([own.subarray(0, 32), bytes32(r)])),
      'token_signature',
    )
  }
  for (const key of keys) {
    for (const fill of [0x00, 0xff]) {
      await expect(
        withSignature(mint(key), (own) => Buffer.alloc(own.length, fill)),
        'token_signature',
      )
    }
  }
})

t.test('A12: a signature of the wrong length', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const token = mint(key)
    const zero = Buffer.alloc(1)
    await expect(
      withSignature(token, (own) => own.subarray(1)),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => own.subarray(0, -1)),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => Buffer.concat([own, zero])),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => Buffer.concat([zero, own])),
      'token_signature',
    )
    const twice = withSignature(token, (own) => Buffer.concat([own, own]))
    if (twice.length <= 8192) await expect(twice, 'token_signature')
  }
  const asDer = (own: Buffer): Buffer => {
    const part = (bytes: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), bytes])
    const body = Buffer.concat([part(own.subarray(0, 32)), part(own.subarray(32))])
    return Buffer.concat([Buffer.from([0x30, body.length]), body])
  }
  await expect(withSignature(mint(es256), asDer), 'token_signature', 'a DER signature')
  const padded = (own: Buffer) =>
    Buffer.concat([Buffer.alloc(2), own.subarray(0, 32), Buffer.alloc(2), own.subarray(32)])
  await expect(withSignature(mint(es256), padded), 'token_signature', '34 bytes a number')
})

t.test('A13: the high-s twin of an ECDSA signature is accepted', async (t) => {
  const expect = await openHarness(t)
  const token = mint(es256)
  const twin = withSignature(token, (own) =>
    Buffer.concat([own.subarray(0, 32), bytes32(n - number(own.subarray(32)))]),
  )
  t.not(twin, token)
  await expect(token, 'accepted')
  await expect(twin, 'accepted')
})

t.test('A13: an Ed25519 signature has no twin', async (t) => {
  const expect = await openHarness(t)
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const twin = withSignature(mint(keyOf('Ed25519')), (own) => {
    const s = number(Buffer.from(own.subarray(32)).reverse()) + order
    return Buffer.concat([own.subarray(0, 32), bytes32(s).reverse()])
  })
  await expect(twin, 'token_signature')
})

t.test('A14: white space, padding and non-canonical base64url', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const token = mint(key)
    const [header = '', payload = '', signature = ''] = token.split('.')
    for (const space of [' ', '\t', '\n', '\r\n', '\0', '=', '==', '%20', '\u00a0', '\ufeff']) {
      await expect(`${space}${token}`, 'token_malformed')
      await expect(`${token}${space}`, 'token_malformed')
      await expect(`${header}${space}.${payload}.${signature}`, 'token_malformed')
      await expect(`${header}.${payload}.${space}${signature}`, 'token_malformed')
    }
    for (const other of nonCanonical(signature)) {
      await expect(`${header}.${payload}.${other}`, 'token_malformed')
    }
    // Signed as it stands, so that only the form can be at fault.
    for (const other of [...nonCanonical(payload), `${payload}=`, `${payload}\n`]) {
      const input = `${header}.${other}`
      await expect(`${input}.${signBytes(key, input).toString('base64url')}`, 'token_malformed')
    }
  }
})

/** Other texts that a lax reader takes for the same bytes. */
function nonCanonical(part: string): string[] {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const lax = part.replaceAll('-', '+').replaceAll('_', '/')
  const unusedBits = { 0: 0, 2: 4, 3: 2 }[part.length % 4] ?? 0
  const last = alphabet.indexOf(part.at(-1) ?? '')
  const twins = Array.from({ length: 2 ** unusedBits - 1 }, (_, bits) => alphabet[last + bits + 1])
  return [...(lax === part ? [] : [lax]), ...twins.map((twin) => `${part.slice(0, -1)}${twin}`)]
}

t.test('A15: crit, unknown, empty or duplicated', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    for (const crit of [[], ['b64'], ['unknown'], ['exp', 'exp'], [''], [1], 'exp', null, {}]) {
      const header = headerWith(key, { crit, b64: true, exp: 1, unknown: 1 })
      await expect(mint(key, { header }), 'token_malformed', JSON.stringify(crit))
    }
    const header = headerWith(key, { b64: false })
    await expect(mint(key, { header }), 'accepted', 'b64 without crit says nothing')
  }
})

t.test('A16: a member given twice', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const header = JSON.stringify(headerWith(key)).slice(0, -1)
    for (const more of [
      `"alg":"none"`,
      `"alg":"${key.alg}"`,
      `"\\u0061lg":"none"`,
      '"kid":"x"',
      '"x":{"y":1,"y":2}',
    ]) {
      await expect(mint(key, { header: `${header},${more}}` }), 'token_malformed', more)
    }
    const claims = JSON.stringify(claimsWith()).slice(0, -1)
    for (const more of [
      '"sub":"admin"',
      '"\\u0073ub":"admin"',
      '"exp":9999999999',
      '"x":[{"y":1,"y":1}]',
    ]) {
      await expect(mint(key, { payload: `${claims},${more}}` }), 'token_claims', more)
    }
  }
})

t.test('A17: exp as 1e400, a text, negative, missing', async (t) => {
  const expect = await openHarness(t)
  const claims = JSON.stringify(claimsWith({ exp: undefined })).slice(0, -1)
  const exps = [
    '1e400',
    '-1e400',
    `"${now_s + 60}"`,
    '-1',
    'null',
    'true',
    '[]',
    '{}',
    `${now_s}.5`,
    '1e16',
    '9007199254740993',
  ]
  for (const key of keys) {
    for (const exp of exps)
      await expect(mint(key, { payload: `${claims},"exp":${exp}}` }), 'token_claims', exp)
    await expect(mint(key, { payload: `${claims}}` }), 'token_claims', 'missing')
    await expect(mint(key, { payload: `${claims},"exp":0}` }), 'token_expired')
  }
})

t.test('A18: iss as an array', async (t) => {
  const expect = await openHarness(t)
  const { issuer } = options
  for (const key of keys) {
    for (const iss of [
      [issuer],
      [issuer, 'https://thief.test'],
      { [issuer]: 1 },
      `${issuer}/`,
      issuer.toUpperCase(),
      '',
      null,
      undefined,
    ]) {
      await expect(mint(key, { payload: claimsWith({ iss }) }), 'token_claims', JSON.stringify(iss))
    }
  }
})

t.test('A19: claims that are an array, a text, null', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    for (const payload of [
      '[]',
      `[${JSON.stringify(claimsWith())}]`,
      '"text"',
      'null',
      '1',
      'true',
      '',
      ' ',
      '{',
      '{}',
    ]) {
      await expect(mint(key, { payload }), 'token_claims', payload)
    }
    const bytes = Buffer.from(JSON.stringify(claimsWith({ sub: 'Ã' })), 'latin1')
    await expect(mint(key, { payload: bytes }), 'token_claims', 'not UTF-8')
  }
})

t.test('A20: a token of another kind', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    for (const typ of [
      'JWT',
      'jwt',
      'logout+jwt',
      'secevent+jwt',
      'dpop+jwt',
      'at+jwt2',
      'application/',
      '',
      null,
      1,
      undefined,
    ]) {
      await expect(mint(key, { header: headerWith(key, { typ }) }), 'token_type', `${typ}`)
    }
    for (const typ of ['AT+JWT', 'application/at+jwt']) {
      await expect(mint(key, { header: headerWith(key, { typ }) }), 'accepted', typ)
    }
  }
})

t.test('A23: a huge token, thousands of dots, deep JSON', async (t) => {
  const expect = await openHarness(t)
  const huge = mint(es256, { payload: claimsWith({ padding: 'x'.repeat(8192) }) })
  await expect(huge, 'token_malformed', 'above the cap')
  await expect('.'.repeat(1_000_000), 'token_malformed', 'a million dots')
  await expect('.'.repeat(8000), 'token_malformed', 'dots below the cap')
  await expect('a'.repeat(8192), 'token_malformed', 'no dots')
  const deep = `${'['.repeat(2000)}${']'.repeat(2000)}`
  await expect(mint(es256, { header: deep }), 'token_malformed', 'a deep header')
  await expect(mint(es256, { payload: deep }), 'token_claims', 'deep claims')
  const nested = JSON.stringify(claimsWith()).replace(
    '}',
    `,"x":${'{"x":'.repeat(500)}1${'}'.repeat(501)}`,
  )
  await expect(mint(es256, { payload: nested }), 'token_claims', 'a deep claim')

  const roomy = await openHarness(t, { maxTokenBytes: 65_536 })
  await roomy(huge, 'accepted', 'the cap can be raised')
})

t.test('A25: encrypted tokens are refused unread', async (t) => {
  const expect = await openHarness(t)
  const header = {
    alg: 'PBES2-HS256+A128KW',
    enc: 'A128GCM',
    zip: 'DEF',
    p2c: 2 ** 31,
    typ: 'at+jwt',
  }
  await expect(`${encode(header)}.AAAA.AAAA.AAAA.AAAA`, 'token_malformed')
  await expect(`${encode(header)}.AAAA.AAAA`, 'token_algorithm')
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
