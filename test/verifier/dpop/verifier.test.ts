import t from 'tap'
import { createVerifier } from '../../../src/verifier/verifier.ts'
import { FakeClock } from '../../support/clock.ts'
import { makeProof, makeProofKey, type ProofParts } from '../../support/dpop.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'

const signingKey = makeKey('ES256')
const key = await makeProofKey()
const otherKey = await makeProofKey()
const uri = 'https://api.test/orders'
const unbound = mint(signingKey)
const bound = mint(signingKey, { payload: claimsWith({ cnf: { jkt: key.jkt } }) })

function start() {
  const clock = new FakeClock(now_s * 1000)
  return createVerifier({ issuer, audience, jwks: { keys: [signingKey.publicJwk] }, clock })
}

async function presented(token: string, parts: ProofParts = {}, by = key) {
  const proof = await makeProof(by, { htu: uri, iat: now_s, token, ...parts })
  return { dpop: { proof, method: 'GET', uri } }
}

t.test('accepts a bound token with a proof by its key, and each proof once', async (t) => {
  const verifier = start()
  const first = await presented(bound)
  t.match(await verifier.verify(bound, first), { cnf: { jkt: key.jkt } })
  await t.rejects(verifier.verify(bound, first), { code: 'dpop_proof_replayed' })
  t.match(verifier.verifySync(bound, await presented(bound)), { sub: 'user-1' })
  t.throws(() => verifier.verifySync(bound, first), { code: 'dpop_proof_replayed' })
})

t.test('a bound token is refused without a proof, and by another key', async (t) => {
  const verifier = start()
  for (const [requirements, code] of [
    [{}, 'dpop_proof_missing'],
    [{ dpop: { proof: undefined, method: 'GET', uri } }, 'dpop_proof_missing'],
    [{ dpop: { proof: 7 as never, method: 'GET', uri } }, 'dpop_proof_missing'],
    [await presented(bound, {}, otherKey), 'dpop_proof_invalid'],
    [await presented(bound, { token: unbound }), 'dpop_proof_invalid'],
    [await presented(bound, { htm: 'POST' }), 'dpop_proof_invalid'],
  ] as const) {
    await t.rejects(verifier.verify(bound, requirements), { code })
    t.throws(() => verifier.verifySync(bound, requirements), { code })
  }
})

t.test('a proof of a refused token is not used up', async (t) => {
  const verifier = start()
  verifier.verifySync(bound, await presented(bound))
  const proof = await presented(bound)
  const tooMuch = { ...proof, scope: 'admin' }
  await t.rejects(verifier.verify(bound, tooMuch), { code: 'scope_insufficient' })
  t.throws(() => verifier.verifySync(bound, tooMuch), { code: 'scope_insufficient' })
  await t.rejects(verifier.verify(bound, { ...proof, failClosed: true }), {
    code: 'revocations_stale',
  })
  t.match(verifier.verifySync(bound, proof), { sub: 'user-1' })
  await t.rejects(verifier.verify(bound, proof), { code: 'dpop_proof_replayed' })
})

t.test('a proof counts once per request, however often the request is checked', async (t) => {
  const verifier = start()
  const { dpop } = await presented(bound)
  const request = {}
  for (const scope of ['', 'orders:read', 'profile']) {
    const requirements = { dpop: { ...dpop, request }, scope }
    t.match(await verifier.verify(bound, requirements), { sub: 'user-1' })
    t.match(verifier.verifySync(bound, requirements), { sub: 'user-1' })
  }
  const other = { dpop: { ...dpop, request: {} } }
  await t.rejects(verifier.verify(bound, other), { code: 'dpop_proof_replayed' })
  await t.rejects(verifier.verify(bound, { dpop }), { code: 'dpop_proof_replayed' })
  const next = (await presented(bound)).dpop
  t.ok(await verifier.verify(bound, { dpop: { ...next, request } }), 'another proof')
  const bent = { ...dpop, request, uri: 'https://api.test/other' }
  await t.rejects(verifier.verify(bound, { dpop: bent }), { code: 'dpop_proof_invalid' })
})

t.test('an unbound token is a bearer token, and nothing else', async (t) => {
  const verifier = start()
  t.match(await verifier.verify(unbound), { sub: 'user-1' })
  const requirements = await presented(unbound)
  await t.rejects(verifier.verify(unbound, requirements), { code: 'token_unbound' })
})

t.test('the proof is checked before the scope, and after the token', async (t) => {
  const verifier = start()
  const scope = 'admin'
  await t.rejects(verifier.verify(bound, { scope }), { code: 'dpop_proof_missing' })
  const requirements = { ...(await presented(bound)), scope }
  await t.rejects(verifier.verify(bound, requirements), { code: 'scope_insufficient' })
  const expired = mint(signingKey, {
    payload: claimsWith({ exp: now_s - 60, cnf: { jkt: key.jkt } }),
  })
  await t.rejects(verifier.verify(expired), { code: 'token_expired' })
})

t.test('a token with an unknown confirmation is not a bearer token', async (t) => {
  const verifier = start()
  for (const cnf of [
    null,
    'x',
    [],
    {},
    { jkt: '' },
    { jkt: 7 },
    { jkt: `${key.jkt}A` },
    { jwk: key.publicJwk },
    { 'x5t#S256': key.jkt },
    { jkt: key.jkt, kid: 'other' },
  ]) {
    const token = mint(signingKey, { payload: JSON.stringify({ ...claimsWith(), cnf }) })
    await t.rejects(verifier.verify(token), { code: 'token_claims' }, JSON.stringify(cnf))
    await t.rejects(verifier.verify(token, await presented(token)), { code: 'token_claims' })
  }
})

t.test('the largest age of a proof is an option', async (t) => {
  const jwks = { keys: [signingKey.publicJwk] }
  const common = { issuer, audience, jwks, clock: new FakeClock(now_s * 1000) }
  const old = await presented(bound, { iat: now_s - 40 })
  const strict = createVerifier({ ...common, maxDpopProofAgeSeconds: 30 })
  await t.rejects(strict.verify(bound, old), { code: 'dpop_proof_invalid' })
  t.match(await createVerifier(common).verify(bound, old), { sub: 'user-1' })
})

t.test('the options have limits', async (t) => {
  for (const options of [
    { maxDpopProofAgeSeconds: 4 },
    { maxDpopProofAgeSeconds: 301 },
    { maxDpopProofs: 63 },
  ]) {
    const jwks = { keys: [signingKey.publicJwk] }
    t.throws(() => createVerifier({ issuer, audience, jwks, ...options }), {
      code: 'config_invalid',
    })
  }
})
