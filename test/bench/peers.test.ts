import { readFileSync } from 'node:fs'
import t from 'tap'
import { createSamples, rowName, wronglyTaken } from '../../bench/old/peers/samples.ts'
import { versionsOf } from '../../bench/old/peers/versions.ts'
import { audience, createSigningKey, issuer } from '../../bench/old/scenarios/access-tokens.ts'
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

t.test('versions are those that are installed, and what is not installed has none', async (t) => {
  const installed = (name: string): string =>
    JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version
  t.same(versionsOf(['fastify', 'fast-jwt']), {
    fastify: installed('fastify'),
    'fast-jwt': installed('fast-jwt'),
  })
  t.throws(() => versionsOf(['no-such-package']), /no-such-package is not installed/)
})

t.test('every peer is pinned, and the lock file names no registry', async (t) => {
  const manifest = JSON.parse(readFileSync('bench/peers/package.json', 'utf8'))
  const lock = readFileSync('bench/peers/package-lock.json', 'utf8')
  const { packages } = JSON.parse(lock)
  for (const [name, version] of Object.entries(manifest.dependencies)) {
    t.equal(packages[`node_modules/${name}`].version, version, name)
  }
  t.notMatch(lock, /https?:\/\/(?!registry\.npmjs\.org|github\.com)[^"]*\.tgz/)
})

t.test('who refuses the good one is not measured', async (t) => {
  await t.rejects(
    wronglyTaken(samples, async () => false),
    /refuses a token that is good/,
  )
})
