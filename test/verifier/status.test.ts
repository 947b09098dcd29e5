import t from 'tap'
import { type ErrorCode, GatepassError } from '../../src/core/errors.ts'
import { tokenGuard } from '../../src/verifier/fetch.ts'
import { type VerificationOutcome, verificationOutcomes } from '../../src/verifier/status.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import { claimsWith, headerWith, makeKey, mint, now_s } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'

const key = keyOf('ES256')
const good = mint(key)

/** The outcomes that have happened. */
function happened(verifier: Verifier): Partial<Record<VerificationOutcome, number>> {
  const all = Object.entries(verifier.status().outcomes)
  return Object.fromEntries(all.filter(([, count]) => count > 0))
}

t.test('each verification is counted once, by its outcome', async (t) => {
  const verifier = createVerifier(options)
  const bad: Partial<Record<ErrorCode, string>> = {
    token_malformed: 'x',
    token_type: mint(key, { header: headerWith(key, { typ: 'JWT' }) }),
    token_key_unknown: mint(makeKey('ES256', 'stranger')),
    token_signature: mint({ ...makeKey('ES256'), kid: key.kid }),
    token_claims: mint(key, { payload: claimsWith({ aud: 'another' }) }),
    token_expired: mint(key, { payload: claimsWith({ exp: now_s - 100 }) }),
    token_not_yet_valid: mint(key, { payload: claimsWith({ iat: now_s + 100 }) }),
  }
  for (const [code, token] of Object.entries(bad)) {
    await t.rejects(verifier.verify(token), { code })
    t.throws(() => verifier.verifySync(token), { code })
  }
  for (let use = 0; use < 3; use += 1) await verifier.verify(good)
  verifier.verifySync(good)
  await t.rejects(verifier.verify(good, { scope: 'more' }), { code: 'scope_insufficient' })
  t.same(happened(verifier), {
    accepted: 4,
    ...Object.fromEntries(Object.keys(bad).map((code) => [code, 2])),
    scope_insufficient: 1,
  })
})

t.test('a bearer token where a bound one is required counts as refused', async (t) => {
  const verifier = createVerifier(options)
  const guard = tokenGuard(verifier, { dpop: true })
  const headers = { authorization: `Bearer ${good}` }
  const { refusal } = await guard(new Request('https://api.test/', { headers }))
  t.match(await refusal?.json(), { code: 'token_unbound' })
  t.same(happened(verifier), { token_unbound: 1 })
})

t.test('an unknown error code counts as internal_error', async (t) => {
  let failure: Error = new GatepassError('store_unavailable')
  const revocations = {
    isRevoked(): boolean {
      throw failure
    },
  }
  const verifier = createVerifier({ ...options, revocations })
  await t.rejects(verifier.verify(good), { code: 'store_unavailable' })
  failure = new Error('a bug')
  await t.rejects(verifier.verify(good), { code: 'internal_error' })
  t.same(happened(verifier), { internal_error: 2 })
  t.same(Object.keys(verifier.status().outcomes), verificationOutcomes)
})
