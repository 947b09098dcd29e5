import { pino } from 'pino'
import t from 'tap'
import { Metrics } from '../../src/http/metrics.ts'
import { identityHeaders } from '../../src/http/routes/verify.ts'
import { buildVerifierApp } from '../../src/http/verifier-app.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import fc from '../support/properties.ts'
import { audience, claimsWith, issuer, makeKey, mint, TestClock } from '../support/tokens.ts'

const key = makeKey('ES256')
const jwks = { keys: [key.publicJwk] }
const verifier = createVerifier({ issuer, audience, jwks, clock: new TestClock() })
const logger = pino({ level: 'silent' })
const app = buildVerifierApp({
  service: { logger, metrics: new Metrics(), version: '0' },
  verifier,
})
t.teardown(() => app.close())
const address = await app.listen({ port: 0, host: '127.0.0.1' })

async function verify(claims: Record<string, unknown>): Promise<Response> {
  const authorization = `Bearer ${mint(key, { payload: claimsWith(claims) })}`
  await fetch(`${address}/verify`, { headers: { authorization } })
  // The second answer comes from the token cache.
  return fetch(`${address}/verify`, { headers: { authorization } })
}

const odd = [
  ' admin',
  'admin ',
  '  admin\t ',
  ' ',
  '\tadmin',
  'admin\n',
  '\u00a0admin\u00a0',
  '%20admin',
  'Müller, Ada  B.',
  '😀 "x"; y=z',
]

t.test('I14: each header carries its claim exactly', async (t) => {
  for (const text of odd) {
    const { headers } = await verify({ sub: text, sid: text, scope: text, client_id: text })
    for (const name of ['subject', 'session', 'scope', 'client']) {
      const value = headers.get(`x-auth-${name}`) ?? ''
      t.equal(decodeURIComponent(value), text, `${name}: ${value}`)
    }
  }
  const plain = await verify({ scope: 'a b', sub: 'ada@example.com' })
  t.equal(plain.headers.get('x-auth-scope'), 'a b')
  t.equal(plain.headers.get('x-auth-subject'), 'ada@example.com')
})

t.test('I14: different values of a claim have different headers', async () => {
  const character = fc.constantFrom(' ', '%', '2', '0', 'a', '\t', 'ü', '\u00a0', '😀')
  const texts = fc.string({ unit: fc.oneof(character, fc.string({ maxLength: 1 })) })
  fc.assert(
    fc.property(texts, (sub) => {
      const value =
        identityHeaders(claimsWith({ sub }) as unknown as AccessTokenClaims)?.['x-auth-subject'] ??
        ''
      // As a recipient reads it (RFC 9110 §5.5).
      return decodeURIComponent(value.replace(/^[ \t]+|[ \t]+$/g, '')) === sub
    }),
  )
})

t.test('I14: a claim that no header can carry is refused', async (t) => {
  for (const name of ['sub', 'sid', 'scope', 'client_id']) {
    const response = await verify({ [name]: 'a\ud800' })
    t.equal(response.status, 401, name)
    t.match(await response.json(), { code: 'token_claims' })
    t.match(response.headers.get('www-authenticate'), /^Bearer error="invalid_token"/)
    t.equal(response.headers.get('x-auth-subject'), null)
  }
})
