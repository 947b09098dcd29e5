import t from 'tap'
import {
  ClientKeys,
  parseClientAssertion,
  verifyClientAssertion,
} from '../../src/oauth/client-assertion.ts'
import { FakeClock } from '../support/clock.ts'
import { issuerUrl } from '../support/issuer.ts'
import { type AssertionParts, clientKey, makeAssertion } from '../support/oauth.ts'
import { makeKey, mint, now_s } from '../support/tokens.ts'

const clock = new FakeClock(now_s * 1000)
const keys = new ClientKeys(clock)
const refused = { code: 'client_authentication_failed' }

/** A verifier of assertions, and the ids that it remembers, with their expiry. */
function start() {
  const ids = new Map<string, number>()
  const store = {
    async claimOnce(id: string, expiresAtMs: number) {
      const isFirst = !ids.has(id)
      ids.set(id, expiresAtMs)
      return isFirst
    },
  }
  const options = { issuer: issuerUrl, keys, store, clock, clockToleranceSeconds: 5 }
  const verify = async (parts: AssertionParts, clientId = 'signing') => {
    const text = await makeAssertion(now_s, parts)
    const client = { client_id: clientId, scopes: {}, jwks: { keys: [clientKey.jwk] } }
    await verifyClientAssertion(parseClientAssertion(text), client, options)
  }
  return { ids, verify }
}

t.test('the times of an assertion have limits, with the tolerance', async (t) => {
  const { verify } = start()
  for (const claims of [
    { exp: now_s - 4 },
    { exp: now_s + 605 },
    { iat: now_s + 5 },
    { nbf: now_s + 5 },
    { iat: undefined },
    // RFC 7519 §2: a NumericDate may have a fraction.
    { exp: now_s + 60.25, nbf: now_s - 0.5, iat: now_s + 0.75 },
  ]) {
    await t.resolves(verify({ claims }), JSON.stringify(claims))
  }
  for (const claims of [
    { exp: now_s - 5 },
    { exp: now_s + 606 },
    { iat: now_s + 6 },
    { nbf: now_s + 6 },
    { exp: now_s - 5.5 },
    { iat: now_s + 5.5 },
    { iat: `${now_s}` },
    { nbf: -1 },
    { exp: 2 ** 53 },
  ]) {
    await t.rejects(verify({ claims }), refused, JSON.stringify(claims))
  }
})

t.test('an assertion is a JWT of its own type, or of none', async (t) => {
  const { verify } = start()
  for (const typ of [undefined, 'JWT', 'client-authentication+jwt']) {
    await t.resolves(verify({ header: { typ } }), `${typ}`)
  }
  for (const typ of ['', 'at+jwt', null]) await t.rejects(verify({ header: { typ } }), refused)
})

t.test('the id of an assertion is remembered until the assertion has expired', async (t) => {
  const { ids, verify } = start()
  const claims = { jti: 'one', exp: now_s + 60 }
  await verify({ claims })
  t.same([...ids.values()], [(now_s + 60 + 5 + 1) * 1000])
  await t.rejects(verify({ claims }), refused)
  const ofAnother = { ...claims, iss: 'other', sub: 'other' }
  await t.resolves(verify({ claims: ofAnother }, 'other'), 'clients may use the same ids')
  await t.rejects(verify({ claims: { jti: '' } }), refused)
  await verify({ claims: { jti: 'two', exp: now_s + 59.5 } })
  t.same(new Set(ids.values()), new Set([(now_s + 60 + 5 + 1) * 1000]), 'in whole seconds')
})

t.test('an assertion names its client by sub', async (t) => {
  const header = { alg: 'ES256', kid: 'client-1' }
  const named = (payload: string) =>
    parseClientAssertion(mint(makeKey('ES256'), { header, payload })).clientId
  t.equal(named('{"sub":"signing"}'), 'signing')
  for (const payload of ['[]', 'null', '{}', '{"sub":1}']) {
    t.throws(() => named(payload), refused, payload)
  }
})
