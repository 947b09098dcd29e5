import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { Role } from '../../src/config/settings.ts'
import { createClientSecret } from '../../src/oauth/client-secret.ts'
import { makeEncryptionPair } from '../support/encryption.ts'
import { problemsOf } from '../support/settings.ts'

const [first, second] = [
  makeEncryptionPair('P-256', 'first'),
  makeEncryptionPair('X25519', 'second'),
]
const api = { audience: 'https://api.test', encryption_key: first.publicJwk }
const shop = { audience: 'https://shop.test', encryption_key: second.publicJwk }
const client = (client_id: string, audience?: string | string[]) => ({
  client_id,
  audience,
  scopes: {},
})

function load(role: Role, values: Record<string, unknown>) {
  const texts = Object.entries(values).map(([name, value]) => [
    `GATEPASS_${name}`,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  const env = { GATEPASS_SECRET: 'x'.repeat(32), ...Object.fromEntries(texts) }
  return loadConfig({ role, env, cwd: '/' }).settings
}

/** Returns the problems, one a line. */
function problems(role: Role, values: Record<string, unknown>): string {
  return problemsOf(() => load(role, values)).join('\n')
}

t.test('the audiences of clients, and the default one, may have keys', async (t) => {
  const { audiences } = load('issuer', {
    AUDIENCE: api.audience,
    AUDIENCES: [api, shop],
    CLIENTS: [client('web'), client('till', [shop.audience]), client('both', ['a', 'b'])],
  })
  t.same(audiences, [api, shop])
  const exchange = {
    ...client('gateway'),
    grants: ['urn:ietf:params:oauth:grant-type:token-exchange'],
    exchange_audiences: [shop.audience],
    auth_method: 'client_secret_basic',
    secret_hashes: [createClientSecret().hash],
  }
  t.same(load('issuer', { AUDIENCES: [shop], CLIENTS: [exchange] }).audiences, [shop])
  t.same(load('issuer', {}).audiences, [])
})

t.test('a key that is not a public encryption key is refused', async (t) => {
  const given = (encryption_key: unknown) => ({
    AUDIENCE: api.audience,
    AUDIENCES: [{ ...api, encryption_key }],
  })
  const { kid, ...nameless } = first.publicJwk
  t.match(problems('issuer', given(first.privateJwk)), /AUDIENCES\/0\/encryption_key .*private key/)
  t.match(problems('issuer', given(nameless)), /has no acceptable kid/)
  t.match(problems('issuer', given({ ...first.publicJwk, x: first.publicJwk.y })), /not a valid/)
  t.match(problems('issuer', given('text')), /AUDIENCES\/0\/encryption_key/)
  t.match(problems('issuer', { AUDIENCES: 'no JSON' }), /GATEPASS_AUDIENCES/)
  const twice = { AUDIENCE: api.audience, AUDIENCES: [api, api] }
  t.match(problems('issuer', twice), 'GATEPASS_AUDIENCES/1/audience is used twice')
})

t.test('a client with several audiences, one with a key, is refused', async (t) => {
  const several = client('web', [shop.audience, api.audience])
  const values = { AUDIENCES: [api], CLIENTS: [client('a', 'b'), several] }
  t.match(problems('issuer', values), /^GATEPASS_CLIENTS\/1\/audience has several/)
})

t.test('an audience that no client has is refused', async (t) => {
  const values = {
    AUDIENCE: 'https://api.test',
    AUDIENCES: [{ ...api, audience: 'https://api.test/' }],
  }
  t.match(
    problems('issuer', values),
    /^GATEPASS_AUDIENCES\/0\/audience is the audience of no client/,
  )
})

t.test('ML-DSA-44 is refused if an audience has a key', async (t) => {
  const values = { AUDIENCE: api.audience, AUDIENCES: [api] }
  t.match(problems('issuer', { ...values, ALGORITHM: 'ML-DSA-44' }), /^GATEPASS_ALGORITHM must/)
  for (const ALGORITHM of ['ES256', 'Ed25519', 'RS256', 'PS256']) {
    t.equal(problems('issuer', { ...values, ALGORITHM }), '')
  }
})

t.test('decryption keys are private keys with different kids', async (t) => {
  const keys = [first.privateJwk, second.privateJwk]
  for (const role of ['issuer', 'verifier'] as const) {
    t.same(load(role, { DECRYPTION_KEYS: keys }).decryption_keys, keys)
    const wrong = problems(role, { DECRYPTION_KEYS: [keys[0], first.publicJwk] })
    t.match(wrong, 'GATEPASS_DECRYPTION_KEYS/1 is not a key: it must have its private member d')
    const mixed = { ...first.privateJwk, d: second.privateJwk.d }
    t.notMatch(problems(role, { DECRYPTION_KEYS: [mixed] }), second.privateJwk.d)
    const twice = problems(role, { DECRYPTION_KEYS: [keys[0], keys[0]] })
    t.equal(twice, 'GATEPASS_DECRYPTION_KEYS/1/kid is used twice')
  }
  const optional = { DECRYPTION_KEYS: [keys[0]], ENCRYPTED_TOKENS: 'optional' }
  t.equal(load('verifier', optional).encrypted_tokens, 'optional')
  t.match(problems('verifier', { ENCRYPTED_TOKENS: 'required' }), /ENCRYPTED_TOKENS needs/)
  t.match(problems('verifier', { ...optional, ENCRYPTED_TOKENS: 'never' }), /ENCRYPTED_TOKENS/)
})
