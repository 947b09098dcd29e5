import t from 'tap'
import { type ErrorCode, GatepassError } from '../../src/core/errors.ts'
import { challengeHeaders, isScopeList, type TokenScheme } from '../../src/verifier/guard.ts'

const headersOf = (code: ErrorCode, scope?: string, scheme?: TokenScheme) =>
  challengeHeaders(new GatepassError(code), scope, scheme)

t.test('the challenge for a missing token has no error', async (t) => {
  t.same(headersOf('token_missing'), { 'www-authenticate': 'Bearer' })
})

t.test('the challenge for a refused token has invalid_token and the error code', async (t) => {
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

t.test('the challenge names the missing scope', async (t) => {
  t.same(headersOf('scope_insufficient', 'orders:read orders:write'), {
    'www-authenticate': 'Bearer error="insufficient_scope", scope="orders:read orders:write"',
  })
})

t.test('the DPoP challenge names the accepted algorithms', async (t) => {
  const algs = 'algs="ES256 Ed25519 RS256 PS256 ML-DSA-44"'
  t.same(headersOf('token_missing', '', 'DPoP'), { 'www-authenticate': `DPoP ${algs}` })
  t.same(headersOf('token_expired', '', 'DPoP'), {
    'www-authenticate': `DPoP error="invalid_token", error_description="token_expired", ${algs}`,
  })
  t.same(headersOf('scope_insufficient', 'read', 'DPoP'), {
    'www-authenticate': 'DPoP error="insufficient_scope", scope="read"',
  })
})

t.test('errors about proofs have a DPoP challenge, for any scheme', async (t) => {
  for (const [code, error] of [
    ['token_unbound', 'invalid_token'],
    ['dpop_proof_missing', 'invalid_token'],
    ['dpop_proof_invalid', 'invalid_dpop_proof'],
    ['dpop_proof_replayed', 'invalid_dpop_proof'],
    ['use_dpop_nonce', 'use_dpop_nonce'],
  ] as const) {
    const start = `DPoP error="${error}", error_description="${code}", algs="`
    t.ok(headersOf(code, '', 'Bearer')['www-authenticate']?.startsWith(start))
  }
  const { 'www-authenticate': challenge = '' } = headersOf('dpop_proof_missing', '', 'DPoP')
  t.match(challenge, /^DPoP error="invalid_dpop_proof"/)
})

t.test('a scope cannot inject a header', async (t) => {
  for (const scope of ['a"b', 'a\\b', 'a\r\nset-cookie: x', 'ä', '', '\0']) {
    t.same(headersOf('scope_insufficient', scope), {
      'www-authenticate': 'Bearer error="insufficient_scope"',
    })
    t.notOk(isScopeList(scope))
  }
})

t.test('unavailable keys have a Retry-After', async (t) => {
  t.same(headersOf('keys_unavailable'), { 'retry-after': '1' })
  const error = new GatepassError('keys_unavailable', { retryAfterSeconds: 7 })
  t.same(challengeHeaders(error), { 'retry-after': '7' })
})

t.test('other errors have no challenge', async (t) => {
  t.same(headersOf('internal_error'), {})
})
