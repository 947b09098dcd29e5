import t from 'tap'
import { normalizeTargetUri, targetBelow } from '../../../src/verifier/dpop/target-uri.ts'
import fc, { anyText } from '../../support/properties.ts'

const same = [
  ['https://api.test', 'https://api.test/'],
  ['https://api.test/', 'https://api.test:443/'],
  ['http://api.test/', 'HTTP://API.Test:80/'],
  ['https://api.test/a/b', 'https://api.test/a/./x/../b'],
  ['https://api.test/a/b', 'https://api.test/a/%2E/x/%2e%2E/b'],
  ['https://api.test/~user', 'https://api.test/%7Euser'],
  ['https://api.test/a-b_c.d', 'https://api.test/%61%2Db%5fc%2ed'],
  ['https://api.test/a%2Fb', 'https://api.test/a%2fb'],
  ['https://api.test/%C3%A4', 'https://api.test/%c3%a4'],
  ['https://api.test/a', 'https://api.test/a?b=c'],
  ['https://api.test/a', 'https://api.test/a#b?c'],
  ['https://api.test/a', 'https://api.test/a?ä b%'],
  ['https://[::1]/a', 'https://[0:0:0:0:0:0:0:1]:443/a'],
] as const

t.test('equivalent URIs of RFC 3986 have the same normal form', async (t) => {
  for (const [a, b] of same) {
    t.type(normalizeTargetUri(a), 'string')
    t.equal(normalizeTargetUri(a), normalizeTargetUri(b), b)
  }
})

const different = [
  ['https://api.test/', 'http://api.test/'],
  ['https://api.test/', 'https://api.test:8443/'],
  ['http://api.test/', 'http://api.test:443/'],
  ['https://api.test/', 'https://api.test.evil.test/'],
  ['https://api.test/a', 'https://api.test/a/'],
  ['https://api.test/a', 'https://api.test/A'],
  ['https://api.test/a/b', 'https://api.test/a%2Fb'],
  ['https://api.test/a/b', 'https://api.test/a//b'],
  ['https://api.test/a?b', 'https://api.test/a%3Fb'],
] as const

t.test('URIs of different resources have different normal forms', async (t) => {
  for (const [a, b] of different) t.not(normalizeTargetUri(a), normalizeTargetUri(b), b)
})

t.test('is null for a URI that is not http or hides its target', async (t) => {
  for (const text of [
    '',
    '/a',
    '//api.test/a',
    'api.test/a',
    'ftp://api.test/a',
    'ahttps://api.test/a',
    'https://api.test/a\x7f',
    'https:api.test/a',
    'https:///api.test/a',
    'https:/api.test/a',
    'https://user@api.test/a',
    'https://user:word@api.test/',
    'https://api.test@evil.test/',
    'https://api.test\\@evil.test/',
    'https://api.test/a\\b',
    ' https://api.test/',
    'https://api.test/a b',
    'https://api.test/a\tb',
    'https://api.test/a\n',
    'https://äpi.test/',
    'https://api.test/ä',
    'https://api.test/%',
    'https://api.test/%4',
    'https://api.test/%zz',
    'https://api.test:99999/',
    'https://api test/',
    'https://?a',
    'https://#a',
    'undefined://undefined/a',
  ]) {
    t.equal(normalizeTargetUri(text), null, text)
  }
})

t.test('a target is the path and the query, also in the absolute form', async (t) => {
  const targetOf = targetBelow('https://api.test/v1/')
  for (const [originalUrl, expected] of [
    ['/a?b', '/a?b'],
    ['HTTP://10.0.0.1:3000/a?b', '/a?b'],
    ['/a/http://other.test/b', '/a/http://other.test/b'],
    ['/a?b=http://other.test/c', '/a?b=http://other.test/c'],
  ] as const) {
    const request = { method: 'GET', originalUrl, protocol: 'http', host: '10.0.0.1' }
    t.same(targetOf(request), { method: 'GET', uri: `https://api.test/v1${expected}` })
  }
})

/** A path, in which each character may be written as itself or encoded. */
const unreserved = [...'abcXYZ019-._~']
const character = fc.record({
  text: fc.constantFrom(...unreserved),
  isEncoded: fc.boolean(),
  isLower: fc.boolean(),
})
const path = fc.array(fc.array(character, { minLength: 1, maxLength: 6 }), { maxLength: 5 })

const uriStart = fc.constantFrom('https://', 'HTTP://API.test:80', 'https://api.test:443/')
const uriPart = fc.constantFrom(
  ...['/', '/./', '/../', '//', '%2F', '%2e', '%C3%A4', '?', '#', '&a=b', '+', ';', '~', '.'],
  ...['api', ':443', '@', '[::1]', '\\', '%', 'ä'],
)

const encodeCharacter = (text: string, isLower: boolean) => {
  const hex = text.charCodeAt(0).toString(16)
  return `%${isLower ? hex : hex.toUpperCase()}`
}

t.test('property: any encoding of a path has the same normal form', async () => {
  fc.assert(
    fc.property(path, (segments) => {
      const written = segments.map((segment) =>
        segment
          .map(({ text, isEncoded, isLower }) =>
            isEncoded ? encodeCharacter(text, isLower) : text,
          )
          .join(''),
      )
      const plain = segments.map((segment) => segment.map(({ text }) => text).join(''))
      return (
        normalizeTargetUri(`https://api.test/${written.join('/')}`) ===
        normalizeTargetUri(`HTTPS://API.TEST:443/${plain.join('/')}?query#fragment`)
      )
    }),
    { numRuns: 500 },
  )
})

t.test(
  'property: normalization is idempotent, and returns an ASCII URI without query',
  async () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.tuple(uriStart, fc.array(uriPart)).map(([start, parts]) => start + parts.join('')),
          anyText.map((text) => `https://api.test/${encodeURIComponent(text)}`),
          fc.string().map((text) => `https://api.test/${text}`),
          fc.string(),
        ),
        (text) => {
          const normal = normalizeTargetUri(text)
          if (normal === null) return true
          return (
            normalizeTargetUri(normal) === normal &&
            /^https?:\/\/[\x21-\x7e]+$/.test(normal) &&
            !/[?#]/.test(normal)
          )
        },
      ),
      { numRuns: 2000 },
    )
  },
)
