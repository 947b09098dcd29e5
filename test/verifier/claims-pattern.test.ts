import t from 'tap'
import type { JsonObject } from '../../src/core/json.ts'
import { HeldBytes } from '../../src/tokens/held-bytes.ts'
import { readClaims } from '../../src/verifier/claims.ts'
import { ClaimsPattern } from '../../src/verifier/claims-pattern.ts'
import fc from '../support/properties.ts'
import { claimsWith, now_s } from '../support/tokens.ts'
import { isFrozen } from './harness.ts'

const held = new HeldBytes('base64url')
const hold = (payload: Buffer) => held.hold(payload.toString('base64url'))
const bytesOf = (claims: JsonObject) => Buffer.from(JSON.stringify(claims))

function patternOf(claims: JsonObject): ClaimsPattern {
  const payload = bytesOf(claims)
  return ClaimsPattern.of(payload, readClaims(payload)) as ClaimsPattern
}

const usual = {
  scope: 'a b',
  sid: 'session-1',
  auth_time: now_s,
  amr: ['pwd'],
  other: { a: [{ b: 'ü' }] },
}
const pattern = patternOf(claimsWith(usual))
const read = (text: string) => pattern.read(hold(Buffer.from(text)))

t.test('reads what differs in the claims of one token alone, and freezes it', async (t) => {
  const claims = claimsWith({
    ...usual,
    sub: 'another user, with a longer name: {}[]',
    jti: '~',
    sid: 'x',
    exp: 999_999_999_999_999,
    iat: 0,
    auth_time: 7,
  })
  const given = pattern.read(hold(bytesOf(claims)))
  t.same(given, claims)
  t.same(Object.keys(Object(given)), Object.keys(claims), 'in the same order')
  t.ok(isFrozen(given))
})

t.test('leaves to others what is not of the pattern', async (t) => {
  const text = JSON.stringify(claimsWith(usual))
  t.ok(read(text))
  const changed: Record<string, [string | RegExp, string]> = {
    'another audience': ['api.test', 'apj.test'],
    'another value behind the last that may differ': ['"ü"', '"ö"'],
    'an escape': ['user-1', 'user\\u002d1'],
    'a text beyond ASCII': ['user-1', 'üser-1'],
    'a control character': ['user-1', 'user\n1'],
    'a delete character': ['user-1', 'user\x7f1'],
    'a text that is empty': ['"user-1"', '""'],
    'a text that is a number': ['"user-1"', '1'],
    'a number that is a text': [`"iat":${now_s}`, `"iat":"${now_s}"`],
    'a leading zero': [`"iat":${now_s}`, `"iat":0${now_s}`],
    'a sign': [`"iat":${now_s}`, `"iat":-${now_s}`],
    'a fraction': [`"iat":${now_s}`, `"iat":${now_s}.0`],
    'an exponent': [`"iat":${now_s}`, `"iat":${now_s}e0`],
    'no number': [`"iat":${now_s}`, '"iat":'],
    'a number that may be too large': [`"iat":${now_s}`, '"iat":1000000000000000'],
    'a member more': [/\}$/, ',"a":1}'],
    'a member given twice': [/\}$/, ',"sub":"b"}'],
    'a member less': ['"jti":"token-1",', ''],
    'white space': ['{', '{ '],
    'text behind it': [/$/, ' '],
    'an end that is missing': [/\}$/, ''],
  }
  for (const [what, [part, by]] of Object.entries(changed)) {
    const payload = text.replace(part, by)
    t.not(payload, text, what)
    t.equal(read(payload), null, what)
  }
})

t.test('what a longer payload has left behind is not read', async (t) => {
  const text = JSON.stringify(claimsWith(usual))
  t.ok(read(text))
  for (let length = 0; length < text.length; length += 1) {
    t.equal(read(text.slice(0, length)), null)
    read(text)
  }
})

t.test('is made of what is written as JSON.stringify does, and of no other payload', async (t) => {
  const text = JSON.stringify(claimsWith(usual))
  for (const other of [text.replace('{', '{ '), text.replace('user-1', 'user\\u002d1')]) {
    const payload = Buffer.from(other)
    t.equal(ClaimsPattern.of(payload, readClaims(payload)), null)
  }
  const numbered = Buffer.from(text.replace('{', '{"b":1,"1":1,'))
  t.equal(ClaimsPattern.of(numbered, readClaims(numbered)), null, 'its members are ordered anew')
})

const time = fc.oneof({ weight: 8, arbitrary: fc.nat() }, { weight: 1, arbitrary: fc.maxSafeNat() })
const name = fc.oneof(
  { weight: 8, arbitrary: fc.stringMatching(/^[ -!#-[\]-~]{1,12}$/) },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }) },
)
const someClaims = fc
  .record({
    base: fc.record({ sub: name, jti: name, exp: time, iat: time }),
    optional: fc.record(
      { nbf: time, auth_time: time, sid: name, scope: name },
      { requiredKeys: [] },
    ),
    others: fc.dictionary(name, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
    isFirst: fc.boolean(),
  })
  .map(({ base, optional, others, isFirst }): JsonObject => {
    const claims = claimsWith({ ...base, ...optional })
    const more = others as JsonObject
    return isFirst ? { ...more, ...claims } : { ...claims, other: more }
  })

t.test('gives what a full reading gives, or nothing', async (t) => {
  let given = 0
  fc.assert(
    fc.property(
      someClaims,
      someClaims,
      fc.oneof(fc.constant([]), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 })),
      (first, second, changes) => {
        const pattern = ClaimsPattern.of(bytesOf(first), readClaims(bytesOf(first)))
        const differing = Object.fromEntries(
          Object.keys(first).map((name) => [name, isDiffering(name) ? second[name] : undefined]),
        )
        for (const claims of [first, second, { ...first, ...defined(differing) }]) {
          const payload = bytesOf(claims)
          for (const [at, byte] of changes) payload[at % payload.length] = byte
          const read = pattern?.read(hold(payload)) ?? null
          if (read === null) continue
          given += 1
          // As text: that tells the order too, and a member may be named `constructor`.
          if (JSON.stringify(read) !== JSON.stringify(readClaims(payload))) return false
        }
        return true
      },
    ),
    { numRuns: 2000 },
  )
  t.ok(given > 500, `${given} were of their pattern`)
})

function isDiffering(name: string): boolean {
  return ['sub', 'jti', 'sid', 'exp', 'iat', 'nbf', 'auth_time'].includes(name)
}

function defined(claims: Record<string, unknown>): JsonObject {
  const entries = Object.entries(claims).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as JsonObject
}
