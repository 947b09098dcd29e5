import t from 'tap'
import { type ErrorCode, GatepassError } from '../../src/core/errors.ts'
import { challengeHeaders, isScopeList } from '../../src/verifier/challenge.ts'

const headersOf = (code: ErrorCode, scope?: string) =>
  challengeHeaders(new GatepassError(code), scope)

t.test('asks for a token without an error, when there was none', async (t) => {
  t.same(headersOf('token_missing'), { 'www-authenticate': 'Bearer' })
})

t.test('says invalid_token and our code for every token that is refused', async (t) => {
  for (const code of [
    'token_malformed',
    'token_signature',
    'token_expired',
    'token_revoked',
  ] as const) {
    t.same(headersOf(code, 'read'), {
      'www-authenticate': `Bearer error="invalid_token", error_description="${code}"`,
    })
  }
})

t.test('names the scope that is missing', async (t) => {
  t.same(headersOf('scope_insufficient', 'orders:read orders:write'), {
    'www-authenticate': 'Bearer error="insufficient_scope", scope="orders:read orders:write"',
  })
})

t.test('lets no scope break out of the header', async (t) => {
  for (const scope of ['a"b', 'a\\b', 'a\r\nset-cookie: x', 'ä', '', '\0']) {
    t.same(headersOf('scope_insufficient', scope), {
      'www-authenticate': 'Bearer error="insufficient_scope"',
    })
    t.notOk(isScopeList(scope))
  }
})

t.test('says when to come back, if the keys are not available', async (t) => {
  t.same(headersOf('keys_unavailable'), { 'retry-after': '1' })
  const error = new GatepassError('keys_unavailable', { retryAfter_s: 7 })
  t.same(challengeHeaders(error), { 'retry-after': '7' })
})

t.test('has nothing to say of other errors', async (t) => {
  t.same(headersOf('internal_error'), {})
})
