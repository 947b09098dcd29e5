import t from 'tap'
import { createSamples, rowName, wronglyTaken } from '../../bench/peers/samples.ts'
import { audience, createSigningKey, issuer } from '../../bench/scenarios/access-tokens.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'

const { key, jwks } = await createSigningKey()
const samples = await createSamples(key)

async function accepts(token: string): Promise<boolean> {
  const verifier = createVerifier({ issuer, audience, jwks })
  return verifier.verify(token).then(
    () => true,
    () => false,
  )
}

t.test('we take none of the tokens that have to be refused', async (t) => {
  t.same(await wronglyTaken(samples, accepts), [])
})

t.test('each bad token is refused for its own fault', async (t) => {
  const codes = Object.entries(samples.bad).map(async ([fault, token]) => {
    const verifier = createVerifier({ issuer, audience, jwks })
    return [fault, await verifier.verify(token).catch(({ code }) => code)]
  })
  t.same(Object.fromEntries(await Promise.all(codes)), {
    forged: 'token_signature',
    altered: 'token_signature',
    unsigned: 'token_algorithm',
    expired: 'token_expired',
    'for somebody else': 'token_claims',
  })
})

t.test('a row says what its subject takes and ought to refuse', async (t) => {
  const blind = await wronglyTaken(samples, async (token) => token !== samples.bad.forged)
  t.equal(
    rowName('lax', blind),
    'lax (takes tokens that are altered, unsigned, expired, for somebody else)',
  )
  t.equal(rowName('strict', []), 'strict')
})

t.test('who refuses the good one is not measured', async (t) => {
  await t.rejects(
    wronglyTaken(samples, async () => false),
    /refuses a token that is good/,
  )
})
