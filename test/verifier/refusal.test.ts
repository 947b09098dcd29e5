import t from 'tap'
import { type ErrorCode, GatepassError } from '../../src/core/errors.ts'
import type { TokenScheme } from '../../src/verifier/guard.ts'
import { challengeHeaders, isScopeList } from '../../src/verifier/refusal.ts'

const headersOf = (code: ErrorCode, scope?: string, scheme?: TokenScheme) =>
  challengeHeaders(new GatepassError(code), scope, scheme)

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

t.test('says which proofs are accepted, where a token was presented with one', async (t) => {
  const algs = 'algs="ES256 Ed25519 RS256 PS256 ML-DSA-44"'
  t.same(headersOf('token_missing', '', 'DPoP'), { 'www-authenticate': `DPoP ${algs}` })
  t.same(headersOf('token_expired', '', 'DPoP'), {
    'www-authenticate': `DPoP error="invalid_token", error_description="token_expired", ${algs}`,
  })
  t.same(headersOf('scope_insufficient', 'read', 'DPoP'), {
    'www-authenticate': 'DPoP error="insufficient_scope", scope="read"',
  })
})

t.test('asks for a proof, however the token was presented', async (t) => {
  for (const [code, error] of [
    ['token_unbound', 'invalid_token'],
    ['dpop_proof_missing', 'invalid_token'],
    ['dpop_proof_invalid', 'invalid_dpop_proof'],
    ['dpop_proof_replayed', 'invalid_dpop_proof'],
  ] as const) {
    const start = `DPoP error="${error}", error_description="${code}", algs="`
    t.ok(headersOf(code, '', 'Bearer')['www-authenticate']?.startsWith(start))
  }
  const { 'www-authenticate': challenge = '' } = headersOf('dpop_proof_missing', '', 'DPoP')
  t.match(challenge, /^DPoP error="invalid_dpop_proof"/)
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
  const error = new GatepassError('keys_unavailable', { retryAfterSeconds: 7 })
  t.same(challengeHeaders(error), { 'retry-after': '7' })
})

t.test('has nothing to say of other errors', async (t) => {
  t.same(headersOf('internal_error'), {})
})
