import { pino } from 'pino'
import t from 'tap'
import { Metrics } from '../../src/http/metrics.ts'
import { buildVerifierApp } from '../../src/http/verifier-app.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { audience, claimsWith, issuer, makeKey, mint, TestClock } from '../support/tokens.ts'

const key = makeKey('ES256')
const jwks = { keys: [key.publicJwk] }
const verifier = createVerifier({ issuer, audience, jwks, clock: new TestClock() })
const logger = pino({ level: 'silent' })
const payload = claimsWith({ aud: 'https://secret.test', sub: '' })
const authorization = `Bearer ${mint(key, { payload })}`

t.test('the service names wrong claims only if it is configured to', async (t) => {
  const problems = [{ pointer: '/sub', detail: 'must be a string that is not empty' }]
  for (const namesClaims of [undefined, false, true]) {
    const app = buildVerifierApp({
      service: {
        ...{ logger, metrics: new Metrics(), version: '0' },
        ...(namesClaims !== undefined && { namesClaims }),
      },
      verifier,
    })
    t.teardown(() => app.close())
    for (const url of ['/verify', '/whoami']) {
      const response = await app.inject({ url, headers: { authorization } })
      t.match(response.json(), { status: 401, code: 'token_claims' })
      t.same(response.json().errors, namesClaims === true ? problems : undefined)
      t.ok(response.json().request_id)
      t.notMatch(response.body, 'secret')
    }
  }
})
