import t from 'tap'
import type { GatepassError } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import {
  type ClaimRules,
  checkTimes,
  readClaims,
  readTokenFormat,
} from '../../src/verifier/claims.ts'
import { audience, claimsWith, issuer, now_s } from '../support/tokens.ts'
import { isFrozen } from './harness.ts'

const rules: ClaimRules = {
  issuer,
  audiences: [audience],
  clockToleranceSeconds: 5,
  format: readTokenFormat(undefined, ['at+jwt']),
}

const header = { alg: 'ES256', kid: 'a', type: 'at+jwt' } as const

function check(given: JsonObject, changes: Partial<ClaimRules> = {}, at_s = now_s) {
  const token = { header, payload: Buffer.from(JSON.stringify(given)) }
  const changed = { ...rules, ...changes }
  const claims = readClaims(token, changed)
  if (claims === null) throw new Error('the claims are of another issuer')
  checkTimes(claims, changed, at_s)
  return claims
}

t.test('returns all claims, deeply frozen', async (t) => {
  const claims = claimsWith({
    aud: [audience],
    amr: ['pwd'],
    auth_time: 0,
    nbf: 0,
    x: { y: [{}, null] },
  })
  const checked = check(claims)
  t.same(checked, claims)
  t.ok(isFrozen(checked))
})

t.test('tokens share equal values, and only those', async (t) => {
  const [one, equal, other] = [
    check(claimsWith({ scope: 'a b', amr: ['pwd'] })),
    check(claimsWith({ scope: 'a b', amr: ['pwd'] })),
    check(claimsWith({ scope: 'pwd', amr: ['pwd', 'otp'] })),
  ]
  t.equal(equal.amr, one.amr)
  t.equal(equal.scope, 'a b')
  t.match(other, { scope: 'pwd', amr: ['pwd', 'otp'] })
  t.same(check(claimsWith({ scope: 'otp', amr: ['a b'] })).amr, ['a b'])
})

t.test('requires valid values of the required claims', async (t) => {
  const wrong: Record<string, unknown[]> = {
    iss: [undefined, null, '', 1, [issuer]],
    sub: [undefined, null, '', 1, ['a'], {}],
    aud: [
      undefined,
      null,
      '',
      1,
      [],
      {},
      [1],
      [audience, 1],
      'https://other.test',
      ['https://other.test'],
    ],
    exp: [undefined, null, -1, 1.5, '1', 2 ** 53, [1], {}],
    iat: [undefined, null, -1, 1.5, '1', 2 ** 53, [1], {}],
    jti: [undefined, null, '', 1],
    client_id: [undefined, null, '', 1],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const claims = claimsWith({ [name]: value })
      t.throws(() => check(claims), { code: 'token_claims' }, `${name}: ${JSON.stringify(value)}`)
    }
  }
})

t.test('requires valid values of optional claims', async (t) => {
  const wrong: Record<string, unknown[]> = {
    nbf: [null, -1, 1.5, '1', 2 ** 53],
    auth_time: [null, -1, 1.5, '1', 2 ** 53],
    scope: [null, 1, ['a']],
    sid: [null, 1, ['a']],
    acr: [null, 1, ['1']],
    amr: [null, 'pwd', [1], {}],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const claims = claimsWith({ [name]: value })
      const problems = [{ pointer: `/${name}`, detail: /^must be (an? |whole ).*, or missing$/ }]
      t.throws(
        () => check(claims),
        { code: 'token_claims', problems },
        `${name}: ${JSON.stringify(value)}`,
      )
    }
    t.ok(check(claimsWith({ [name]: undefined })), `${name} left out`)
  }
})

t.test('requires an accepted audience', async (t) => {
  const audiences = ['a', 'b']
  for (const aud of ['a', 'b', ['b'], ['x', 'b']]) t.ok(check(claimsWith({ aud }), { audiences }))
  for (const aud of ['x', 'ab', 'A', ['x']]) {
    t.throws(() => check(claimsWith({ aud }), { audiences }), { code: 'token_claims' })
  }
  t.ok(check(claimsWith({ aud: 'anybody' }), { audiences: null }))
  for (const aud of [undefined, []]) {
    t.throws(() => check(claimsWith({ aud }), { audiences: null }), { code: 'token_claims' })
  }
})

t.test('a token expires at exp, with the tolerance', async (t) => {
  const claims = claimsWith({ exp: now_s, iat: now_s - 300 })
  t.ok(check(claims, {}, now_s + 4))
  t.throws(() => check(claims, {}, now_s + 5), { code: 'token_expired' })
  t.ok(check(claims, { clockToleranceSeconds: 0 }, now_s - 1))
  t.throws(() => check(claims, { clockToleranceSeconds: 0 }, now_s), { code: 'token_expired' })
  t.throws(() => check(claims, {}, Number.NaN), { code: 'token_expired' }, 'by a broken clock')
})

t.test('a token is valid from nbf and iat, with the tolerance', async (t) => {
  for (const claim of ['nbf', 'iat']) {
    const claims = claimsWith({ [claim]: now_s + 10, exp: now_s + 300 })
    t.throws(() => check(claims, {}, now_s + 4), { code: 'token_not_yet_valid' }, claim)
    t.ok(check(claims, {}, now_s + 5), claim)
    t.throws(() => check(claims, { clockToleranceSeconds: 0 }, now_s + 9), {
      code: 'token_not_yet_valid',
    })
    t.ok(check(claims, { clockToleranceSeconds: 0 }, now_s + 10))
  }
  t.ok(check(claimsWith({ nbf: now_s - 100, iat: now_s })), 'the later of the two counts')
})

t.test('the error names the claims and their rules, and quotes no value', async (t) => {
  const claims = claimsWith({ aud: 'https://secret.test' })
  try {
    check(claims)
    t.fail('it was accepted')
  } catch (error) {
    const { message, problems } = error as GatepassError
    t.same(problems, [{ pointer: '/aud', detail: 'must be or hold "https://api.test"' }])
    t.notMatch(message, 'aud')
    t.notMatch(JSON.stringify(error), 'secret')
  }
})

t.test('the pointer of a claim escapes its name', async (t) => {
  const profile = { tokenTypes: ['at+jwt'], requiredClaims: ['https://api.test/~roles'] }
  const format = readTokenFormat(profile, [])
  const token = { header, payload: Buffer.from(JSON.stringify(claimsWith())) }
  try {
    readClaims(token, { ...rules, format })
    t.fail('it was accepted')
  } catch (error) {
    const { problems } = error as GatepassError
    t.same(problems, [{ pointer: '/https:~1~1api.test~1~0roles', detail: 'must be present' }])
  }
})

t.test('a required claim that every object inherits is missing', async (t) => {
  for (const name of ['constructor', 'toString', '__proto__']) {
    const profile = { tokenTypes: ['at+jwt'], requiredClaims: [name] }
    const format = readTokenFormat(profile, [])
    const read = (payload: string) =>
      readClaims({ header, payload: Buffer.from(payload) }, { ...rules, format })
    const others = JSON.stringify(claimsWith())
    t.throws(() => read(others), { code: 'token_claims' }, name)
    t.ok(read(others.replace('{', `{"${name}":1,`)), `with ${name}`)
  }
})
