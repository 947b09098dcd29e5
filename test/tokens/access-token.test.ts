import t from 'tap'
import { createAccessTokenParser, isKeyId } from '../../src/tokens/access-token.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { claimsWith, encode, headerWith, makeKey, mint } from '../support/tokens.ts'

const key = makeKey('ES256')
const good = mint(key)
const parseAccessToken = createAccessTokenParser()

/** An unsigned token with this header. */
const withHeader = (header: object | string) =>
  `${encode(typeof header === 'string' ? header : JSON.stringify(header))}.${encode(claimsWith())}.AAAA`

t.test('parses a token of every algorithm', async (t) => {
  for (const alg of algorithmNames) {
    const key = makeKey(alg)
    const token = mint(key)
    const parsed = parseAccessToken(token)
    t.same(parsed.header, { alg, kid: key.kid, type: 'at+jwt' })
    t.equal(`${parsed.signingInput}.${parsed.signature.toString('base64url')}`, token)
    t.same(JSON.parse(parsed.payload.toString()), claimsWith())
  }
})

t.test('refuses what is not three parts in canonical base64url', async (t) => {
  const header = JSON.stringify(headerWith(key))
  const refused = {
    nothing: '',
    'one part': 'AAAA',
    // Padded, so that one more character still is base64url.
    'one part that begins with a header': `${encode(header.padEnd(3 * header.length + 1))}A`,
    'two parts': good.slice(0, good.lastIndexOf('.')),
    'four parts': `${good}.`,
    'the five parts of a JWE': `${encode(headerWith(key))}.AAAA.AAAA.AAAA.AAAA`,
    'dots alone': '..',
    'an empty header': `.${good.slice(good.indexOf('.') + 1)}`,
    padding: `${good}=`,
    'a header like that before, and more': good.replace('.', 'A.'),
    'the alphabet of base64': good.replace(/\.[\w-]{4}/, '.+/+/'),
    'a character whose low byte is a letter': good.replace(/\.[\w-]{4}/, '.AAA\u0141'),
    'a space before': ` ${good}`,
    'a line break after': `${good}\n`,
    'a header that is an array': withHeader('[]'),
    'a header that is null': withHeader('null'),
    'a header that is a text': withHeader('"at+jwt"'),
    'a header that is not JSON': withHeader('{'),
    'a member given twice': withHeader(
      '{"alg":"ES256","typ":"at+jwt","kid":"a","\\u0061lg":"RS256"}',
    ),
  }
  for (const [what, token] of Object.entries(refused)) {
    t.throws(() => parseAccessToken(token), { code: 'token_malformed' }, what)
  }
  for (const value of [undefined, null, 1, {}, [], Buffer.from(good)]) {
    t.throws(() => parseAccessToken(value as string), { code: 'token_malformed' })
  }
})

t.test('checks the size first', async (t) => {
  t.throws(() => createAccessTokenParser(good.length - 1)(good), { code: 'token_malformed' })
  t.ok(createAccessTokenParser(good.length)(good))
  t.throws(() => parseAccessToken('.'.repeat(10_000_000)), { code: 'token_malformed' })
})

t.test('accepts the supported algorithms only', async (t) => {
  for (const alg of [
    'none',
    'NONE',
    'HS256',
    'es256',
    'EdDSA',
    'ES384',
    '',
    null,
    1,
    ['ES256'],
    'toString',
    undefined,
  ]) {
    t.throws(() => parseAccessToken(withHeader(headerWith(key, { alg }))), {
      code: 'token_algorithm',
    })
  }
})

t.test('accepts access tokens only', async (t) => {
  for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/AT+jwt']) {
    t.ok(parseAccessToken(withHeader(headerWith(key, { typ }))), typ)
  }
  for (const typ of [
    'JWT',
    'id_token',
    'logout+jwt',
    'dpop+jwt',
    'at+jwt ',
    'x/at+jwt',
    'at+application/jwt',
    '',
    null,
    ['at+jwt'],
    undefined,
  ]) {
    t.throws(() => parseAccessToken(withHeader(headerWith(key, { typ }))), { code: 'token_type' })
  }
})

t.test('refuses crit in any form', async (t) => {
  for (const crit of [[], ['b64'], ['exp', 'exp'], ['unknown'], 'b64', null, {}, 0]) {
    t.throws(() => parseAccessToken(withHeader(headerWith(key, { crit, b64: true }))), {
      code: 'token_malformed',
    })
  }
})

t.test('requires a kid', async (t) => {
  t.throws(() => parseAccessToken(withHeader(headerWith(key, { kid: undefined }))), {
    code: 'token_key_unknown',
  })
  for (const kid of [
    '',
    1,
    null,
    ['a'],
    {},
    '\0a',
    'a\0b',
    'a\nb',
    'a\x7f',
    'a\x85',
    'x'.repeat(257),
  ]) {
    t.throws(() => parseAccessToken(withHeader(headerWith(key, { kid }))), {
      code: 'token_malformed',
    })
    t.notOk(isKeyId(kid))
  }
  for (const kid of ['x'.repeat(256), "' OR 1=1 --", '../../etc/passwd', 'schlüssel', 'a\u00a0b']) {
    t.equal(parseAccessToken(withHeader(headerWith(key, { kid }))).header.kid, kid)
  }
})

t.test('an accepted header does not make a similar one acceptable', async (t) => {
  const parse = createAccessTokenParser()
  const [header = '', ...rest] = good.split('.')
  for (let round = 0; round < 3; round += 1) t.same(parse(good).header.kid, key.kid)
  for (const other of [`${header}=`, ` ${header}`, header.slice(0, -1), `${header}A`, '']) {
    t.throws(() => parse([other, ...rest].join('.')), { code: 'token_malformed' }, other)
  }
  t.throws(() => createAccessTokenParser(undefined, new Set(['jwt']))(good), { code: 'token_type' })
})

t.test('headers beyond the size of the cache are parsed like others', async (t) => {
  const parse = createAccessTokenParser()
  const tokens = Array.from({ length: 300 }, (_, n) =>
    withHeader(headerWith(key, { kid: `k${n}` })),
  )
  for (let round = 0; round < 2; round += 1) {
    t.same(
      tokens.map((token) => parse(token).header.kid),
      tokens.map((_, n) => `k${n}`),
    )
  }
})

t.test('no error message quotes the token', async (t) => {
  const secret = 'c2VjcmV0LXZhbHVl'
  for (const token of [secret, `${secret}.${secret}.${secret}`, withHeader(`{"${secret}`)]) {
    try {
      parseAccessToken(token)
      t.fail('it was accepted')
    } catch (error) {
      const { message, cause } = error as Error
      t.notMatch(`${message} ${cause}`, secret)
    }
  }
})
