import t from 'tap'
import type { GatepassError } from '../../../src/core/errors.ts'
import { algorithmNames } from '../../../src/tokens/algorithms.ts'
import {
  DpopProofs,
  type DpopProofsOptions,
  type ProvenRequest,
} from '../../../src/verifier/dpop/dpop-proofs.ts'
import { FakeClock } from '../../support/clock.ts'
import { makeProof, makeProofKey, type ProofParts } from '../../support/dpop.ts'
import { now_s, withSignature } from '../../support/tokens.ts'

const htu = 'https://api.test/orders'
const token = 'header.payload.signature'
const key = await makeProofKey()
const otherKey = await makeProofKey()

function start(options: Partial<DpopProofsOptions> = {}) {
  const clock = new FakeClock(now_s * 1000)
  const proofs = new DpopProofs({ clockToleranceSeconds: 5, clock, ...options })
  const bound = { token, jkt: key.jkt }
  const request: ProvenRequest = { method: 'GET', uri: htu, bound }
  const make = (parts: ProofParts = {}, by = key) =>
    makeProof(by, { htu, iat: Math.floor(clock.nowMs() / 1000), token, ...parts })
  return { clock, proofs, request, make }
}

t.test('a valid proof returns the thumbprint, and is accepted once', async (t) => {
  const { proofs, request, make } = start()
  const proof = await make()
  t.equal(proofs.check(proof, request), key.jkt)
  t.throws(() => proofs.check(proof, request), { code: 'dpop_proof_replayed' })
  t.equal(proofs.check(await make(), request), key.jkt)
})

for (const alg of algorithmNames) {
  t.test(`by a key for ${alg}, with what it has imported and anew`, async (t) => {
    const { proofs, make } = start()
    const key = await makeProofKey(alg)
    const request = { method: 'GET', uri: htu }
    for (let n = 0; n < 2; n += 1) t.equal(proofs.check(await make({}, key), request), key.jkt)
    const forged = withSignature(await make({}, key), (signature) => signature.fill(1))
    t.throws(() => proofs.check(forged, request), { code: 'dpop_proof_invalid' })
  })
}

const wrong: Record<string, ProofParts> = {
  'another method': { htm: 'POST' },
  'a method in another case': { htm: 'get' },
  'another path': { htu: 'https://api.test/orders/1' },
  'another host': { htu: 'https://evil.test/orders' },
  'another scheme': { htu: 'http://api.test/orders' },
  'a URI that is none': { htu: '/orders' },
  'another token': { token: 'header.payload.other' },
  'no token': { token: '' },
  'a time too long ago': { iat: now_s - 60 - 1 },
  'a time ahead': { iat: now_s + 6 },
  'a time that has ended': { claims: { exp: now_s - 5 } },
  'a time that has not begun': { claims: { nbf: now_s + 6 } },
}
for (const [name, parts] of Object.entries(wrong)) {
  t.test(`refuses a proof for ${name}`, async (t) => {
    const { proofs, request, make } = start()
    const proof = await make(parts)
    t.throws(() => proofs.check(proof, request), { code: 'dpop_proof_invalid' })
    t.equal(proofs.size, 0, 'and remembers nothing of it')
  })
}

t.test('accepts a proof at the limits of its times, and any form of the URI', async (t) => {
  const { proofs, request, make } = start()
  for (const parts of [
    { iat: now_s - 60 },
    { iat: now_s + 5 },
    { claims: { exp: now_s - 4.5, nbf: now_s + 5 } },
    { htu: 'HTTPS://API.test:443/%6Frders?page=2#top' },
  ]) {
    t.equal(proofs.check(await make(parts), request), key.jkt)
  }
  const uri = 'https://api.test/orders?page=2'
  t.equal(proofs.check(await make(), { ...request, uri }), key.jkt)
})

t.test('refuses a proof by another key, and a proof that only names the right key', async (t) => {
  const { proofs, request, make } = start()
  const byAnother = await make({}, otherKey)
  const pretending = await make({ header: { jwk: key.publicJwk } }, otherKey)
  for (const proof of [byAnother, pretending]) {
    t.throws(() => proofs.check(proof, request), { code: 'dpop_proof_invalid' })
  }
})

t.test('a private key in a proof is refused, though its thumbprint is right', async (t) => {
  const { proofs, request, make } = start()
  const proof = await make({ header: { jwk: key.privateJwk } })
  t.throws(() => proofs.check(proof, request), { code: 'dpop_proof_invalid' })
  proofs.check(await make(), request)
  t.throws(() => proofs.check(proof, request), { code: 'dpop_proof_invalid' }, 'of a known key too')
})

t.test('where nonces are required, a proof needs one that is accepted', async (t) => {
  const { proofs, request, make } = start({ nonces: { isValid: (nonce) => nonce === 'fresh' } })
  for (const claims of [{}, { nonce: 'stale' }]) {
    const proof = await make({ claims })
    t.throws(() => proofs.check(proof, request), { code: 'use_dpop_nonce' })
  }
  t.equal(proofs.check(await make({ claims: { nonce: 'fresh' } }), request), key.jkt)
})

t.test('a proof is never accepted again', async (t) => {
  const { proofs, request, make, clock } = start()
  const proof = await make({ iat: now_s + 5 })
  proofs.check(proof, request)
  for (let waited_s = 0; waited_s < 80; waited_s += 1) {
    t.throws(() => proofs.check(proof, request), { code: /^dpop_proof_/ })
    clock.advance_s(1)
  }
})

t.test('only proofs with a valid signature are remembered, in bounded memory', async (t) => {
  const { proofs, request, make, clock } = start({ maxProofs: 64 * 4 })
  const unbound = { method: request.method, uri: request.uri }
  const junk = withSignature(await make(), (signature) => signature.reverse())
  for (let n = 0; n < 100; n += 1) {
    t.throws(() => proofs.check(junk, unbound), { code: 'dpop_proof_invalid' })
  }
  t.equal(proofs.size, 0)
  const codes = new Set<string>()
  for (let n = 0; n < 400; n += 1) {
    if (n % 50 === 0) clock.advance_s(1)
    try {
      proofs.check(await make(), request)
    } catch (error) {
      codes.add((error as GatepassError).code)
    }
  }
  t.ok(proofs.size <= 64 * 4, `${proofs.size}`)
  t.same([...codes], ['dpop_proof_invalid'])
  clock.advance_s(1)
  t.equal(proofs.check(await make(), request), key.jkt, 'and it goes on')
})
