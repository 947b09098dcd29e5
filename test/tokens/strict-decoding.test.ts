import t from 'tap'
import { decodeBase64url, parseStrictJson } from '../../src/tokens/strict-decoding.ts'
import fc from '../support/properties.ts'

const parse = (text: string) => parseStrictJson(Buffer.from(text))

t.test('returns what JSON.parse returns', async () => {
  const json = fc.json({ maxDepth: 6 }).filter((text) => !text.includes('\\\\'))
  fc.assert(
    fc.property(json, fc.constantFrom(undefined, 2, '\t'), (text, space) => {
      const written = JSON.stringify(JSON.parse(text), null, space)
      return JSON.stringify(parse(written)) === JSON.stringify(JSON.parse(written))
    }),
  )
})

t.test('accepts values of every kind', async (t) => {
  t.equal(parse('null'), null)
  t.equal(parse(' 1 '), 1)
  t.equal(parse('"a:b"'), 'a:b')
  t.equal(parse('1e400'), Number.POSITIVE_INFINITY)
  t.same(parse('{"a":":\\":","b":{"a":[{"a":1},{"a":"\\\\"}]}}'), {
    a: ':":',
    b: { a: [{ a: 1 }, { a: '\\' }] },
  })
  t.same(parse('{"a\\\\":"\\\\\\":","b":"\\\\\\\\"}'), { 'a\\': '\\":', b: '\\\\' })
  t.ok(Object.hasOwn(Object(parse('{"__proto__":{"a":1}}')), '__proto__'))
})

t.test('rejects duplicate members, at any level and in any escape', async (t) => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"alg":1,"\\u0061lg":2}',
    '{"a":{"b":1,"c":2,"b":3}}',
    '[{"a":1},{"b":[{"a":1,"a":2}]}]',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
    '{"a\\"":1,"a\\u0022":2}',
    '{"1":1,"1":2}',
    // Where space before a colon, or a colon in a string, makes up for a member.
    '{"a" :1,"a":2}',
    '{"a":1,"a"\n:2}',
    '{"a":":","a":1}',
    '{"a\\":":1,"a\\":":2}',
    '{"b":" :","a":1,"a":2}',
    // Where backslashes before a quote escape each other.
    '{"a":"\\\\","a":1}',
    '{"a":"\\\\\\":","a":1}',
    '{"\\\\":1,"\\u005c":2}',
  ]) {
    t.equal(parse(text), undefined, text)
  }
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }),
      fc.nat(),
      (object, at) => {
        const members = Object.entries(object).map(
          ([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`,
        )
        const doubled = [...members, members[at % members.length]].join(',')
        return parse(`{${doubled}}`) === undefined
      },
    ),
  )
})

t.test('a name that JSON.parse misreads is read as it is written', async (t) => {
  const accepted = '{"a":1,"\\\\u0":2,"b\\\\c":3,"d\\\\":{"e\\\\\\\\":"d\\\\"},"f\\"":"\\\\\\":"}'
  t.same(parse(accepted), JSON.parse(accepted), 'names that have a backslash')
  // From here on, JSON.parse of Node 24 finds the name \u0 in this text, too.
  const text = '{"a":1,"\\u0063nf":2}'
  t.same(parse(text), { a: 1, cnf: 2 })
  t.same(parse(`[{"\\\\u0":1},${text}]`), [{ '\\u0': 1 }, { a: 1, cnf: 2 }])
  t.equal(parse('{"a":1,"\\u0063nf":2,"cnf":3}'), undefined)
  // The misreading depends on the number of members, too.
  t.same(parse('{"a":1,"\\\\u0":2,"b":3}'), { a: 1, '\\u0': 2, b: 3 })
  const beside = '{"a":1,"\\u0063nf":2,"\\\\u0":3}'
  t.same(parse(beside), { a: 1, cnf: 2, '\\u0': 3 }, 'a name that it would replace')
})

t.test('refuses bytes that are not UTF-8, and a byte order mark', async (t) => {
  for (const bytes of [
    [0x22, 0xff, 0x22],
    [0x22, 0xc0, 0x80, 0x22], // an overlong null
    [0x22, 0xed, 0xa0, 0x80, 0x22], // half of a surrogate pair
    [0xef, 0xbb, 0xbf, 0x7b, 0x7d],
    [0x7b, 0x00, 0x7d, 0x00], // UTF-16
  ]) {
    t.equal(parseStrictJson(Buffer.from(bytes)), undefined)
  }
})

t.test('refuses nesting deeper than 16', async (t) => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  t.ok(Array.isArray(parse(nested(16))))
  t.ok(parse('{"a":'.repeat(16) + 1 + '}'.repeat(16)))
  t.equal(parse(nested(17)), undefined)
  t.equal(parse(nested(100_000)), undefined)
  t.equal(parse('{"a":'.repeat(17) + 1 + '}'.repeat(17)), undefined)
})

t.test('never throws', async (t) => {
  for (const text of ['', '{', '{"a":1,}', "{'a':1}", '1 2', 'NaN', '{"a":1}x', '// x\n1']) {
    t.equal(parse(text), undefined, text)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      parseStrictJson(Buffer.from(bytes))
    }),
  )
})

t.test('decodes canonical base64url', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64url')
      return decodeBase64url(text)?.equals(bytes) === true
    }),
  )
  t.equal(decodeBase64url('')?.length, 0)
})

t.test('no two texts decode to the same bytes', async () => {
  const alphabet = [...'ABCDEFGHabcdefgh0123456789-_+/= \n.Āé']
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...alphabet), { maxLength: 12 }), (characters) => {
      const text = characters.join('')
      const bytes = decodeBase64url(text)
      return bytes === null || bytes.toString('base64url') === text
    }),
    { numRuns: 2000 },
  )
})

t.test('rejects all other texts', async (t) => {
  const refused = {
    padding: 'AA==',
    'white space': ' AAAA',
    'a line break': 'AAAA\n',
    'the alphabet of base64': '+/+/',
    'a length of 1 modulo 4': 'AAAAA',
    'unused bits that are not zero': 'AB',
    'a dot': 'AA.AA',
    'a character above ASCII whose low byte is a letter': 'AAA\u0141',
    'a null character': 'AAA\0',
  }
  for (const [what, text] of Object.entries(refused)) t.equal(decodeBase64url(text), null, what)
})
