import t from 'tap'
import { DpopProver } from '../../src/browser/dpop.ts'
import { parseDpopProof } from '../../src/tokens/dpop-proof.ts'
import { DpopProofs } from '../../src/verifier/dpop/dpop-proofs.ts'
import { FakeClock } from '../support/clock.ts'

const url = 'https://api.example.com/orders'

function makeKeys() {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  return crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
}

t.test('issuer and verifiers accept the proofs', async (t) => {
  const clock = new FakeClock()
  const prover = new DpopProver(makeKeys)
  const proofs = new DpopProofs({ clockToleranceSeconds: 5, clock })
  const proven = { method: 'POST', url: `${url}?a=b#c` }
  const first = await prover.prove(proven, clock.nowMs())
  const jkt = proofs.check(first, { method: 'POST', uri: url })
  t.equal(
    proofs.check(await prover.prove(proven, clock.nowMs()), { method: 'POST', uri: url }),
    jkt,
    'one key',
  )
  t.throws(() => proofs.check(first, { method: 'POST', uri: url }), { code: 'dpop_proof_replayed' })
  const { claims, header } = parseDpopProof(first)
  t.match(claims, { htm: 'POST', htu: url, iat: clock.nowMs() / 1000, ath: null, nonce: null })
  t.same(Object.keys(header.jwk).sort(), ['crv', 'kty', 'x', 'y'])
})

t.test('a proof for a token has its hash', async (t) => {
  const prover = new DpopProver(makeKeys)
  const proof = await prover.prove({ method: 'GET', url }, 0, 'a.b.c')
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('a.b.c'))
  t.equal(parseDpopProof(proof).claims.ath, Buffer.from(digest).toString('base64url'))
})

t.test('keys that failed to load are loaded again', async (t) => {
  let tries = 0
  const prover = new DpopProver(async () => {
    tries += 1
    if (tries === 1) throw new Error('there is no storage')
    return makeKeys()
  })
  const proven = { method: 'GET', url }
  await t.rejects(prover.prove(proven, 0), { message: 'there is no storage' })
  t.type(await prover.prove(proven, 0), 'string')
})
