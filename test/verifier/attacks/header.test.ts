import t from 'tap'
import {
  claimsWith,
  encode,
  headerWith,
  makeKey,
  mint,
  signBytes,
  withSignature,
} from '../../support/tokens.ts'
import { keyOf, keys, openHarness } from '../harness.ts'
import { JwksServer, serve } from '../jwks-server.ts'

const es256 = keyOf('ES256')

/** Other texts that a lax reader takes for the same bytes. */
function nonCanonical(part: string): string[] {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const lax = part.replaceAll('-', '+').replaceAll('_', '/')
  const unusedBits = { 0: 0, 2: 4, 3: 2 }[part.length % 4] ?? 0
  const last = alphabet.indexOf(part.at(-1) ?? '')
  const twins = Array.from({ length: 2 ** unusedBits - 1 }, (_, bits) => alphabet[last + bits + 1])
  return [...(lax === part ? [] : [lax]), ...twins.map((twin) => `${part.slice(0, -1)}${twin}`)]
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
