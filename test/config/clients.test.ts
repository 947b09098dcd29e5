import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { createClientSecret } from '../../src/oauth/client-secret.ts'
import { problemsOf } from '../support/settings.ts'
import { makeKey } from '../support/tokens.ts'

const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const { hash } = createClientSecret()
const jwks = { keys: [makeKey('ES256').publicJwk] }

function load(...clients: readonly object[]) {
  const GATEPASS_CLIENTS = JSON.stringify(
    clients.map((client, index) => ({ client_id: `client-${index}`, scopes: {}, ...client })),
  )
  const env = { GATEPASS_SECRET: 'x'.repeat(32), GATEPASS_CLIENTS }
  return loadConfig({ role: 'issuer', env, cwd: '/' }).settings.clients
}

/** Returns the problems of clients, without the name of the setting. */
function problems(...clients: readonly object[]): string[] {
  return problemsOf(() => load(...clients)).map((text) => text.replace('GATEPASS_CLIENTS/', ''))
}

t.test('a client of each kind is accepted', async (t) => {
  const clients = [
    {},
    { auth_method: 'client_secret_basic', secret_hashes: [hash], grants: ['client_credentials'] },
    { auth_method: 'client_secret_post', secret_hashes: [hash, createClientSecret().hash] },
    { auth_method: 'private_key_jwt', jwks, grants: [exchange], exchange_audiences: ['a'] },
    { auth_method: 'private_key_jwt', jwks_uri: 'https://client.example/jwks.json' },
    { auth_method: 'private_key_jwt', jwks_uri: 'http://localhost:1234/jwks.json' },
    {
      grants: ['authorization_code', 'refresh_token'],
      redirect_uris: [
        'https://app.example/cb?tenant=1',
        'http://127.0.0.1/cb',
        'http://[::1]:8080/cb',
        'com.example.app:/cb',
      ],
      post_logout_redirect_uris: ['https://app.example/'],
      third_party: true,
      require_pushed_authorization_requests: true,
    },
  ]
  t.equal(load(...clients).length, clients.length)
})

t.test('every field that contradicts another is named', async (t) => {
  t.same(problems({ grants: ['client_credentials', exchange, 'authorization_code'] }), [
    '0/auth_method must not be none with client_credentials or token exchange',
    '0/redirect_uris is required with authorization_code',
    '0/exchange_audiences is required with token exchange',
  ])
  t.same(problems({ auth_method: 'client_secret_basic', jwks }, { secret_hashes: [hash] }), [
    '0/secret_hashes is required with client_secret_basic',
    '0/jwks needs the auth_method private_key_jwt',
    '1/secret_hashes needs client_secret_basic or _post',
  ])
  t.same(problems({ auth_method: 'private_key_jwt' }), [
    '0/jwks or jwks_uri is required with private_key_jwt',
  ])
  t.same(
    problems({ auth_method: 'private_key_jwt', jwks, jwks_uri: 'https://client.example/jwks' }),
    ['0/jwks_uri must not be set beside jwks'],
  )
  const twice = { keys: [jwks.keys[0], jwks.keys[0]] }
  t.same(problems({ auth_method: 'private_key_jwt', jwks: twice }), ['0/jwks has a kid twice'])
  const logout = 'https://a.example/logout'
  const codes = { redirect_uris: ['https://a.example/'], backchannel_logout_uri: logout }
  t.same(problems({ ...codes, exchange_audiences: ['a'] }), [
    '0/redirect_uris needs the grant authorization_code',
    '0/backchannel_logout_uri needs the grant authorization_code',
    `0/exchange_audiences needs the grant ${exchange}`,
  ])
  t.same(problems({ ...codes, grants: ['authorization_code'] }), [])
  const services = [
    { grants: ['client_credentials'] },
    { grants: [exchange], exchange_audiences: ['a'] },
  ]
  for (const service of services) {
    t.same(problems(service), [
      '0/auth_method must not be none with client_credentials or token exchange',
    ])
  }
})

t.test('a malformed client hides no problem of the other clients', async (t) => {
  const clients = [
    { client_id: 'web', color: 'red' },
    { client_id: 'web', secret_hashes: [hash] },
    { client_id: undefined, default_scope: 'a' },
    { client_id: undefined },
  ]
  t.same(problems(...clients).sort(), [
    '0 unrecognized key: "color"',
    '1/client_id is used twice',
    '1/secret_hashes needs client_secret_basic or _post',
    '2/client_id is required and not set',
    '3/client_id is required and not set',
  ])
})

t.test('of very many problems, the first are listed and the others are counted', async (t) => {
  const found = problems(...Array.from({ length: 1000 }, () => ({ color: 'red' })))
  t.equal(found.length, 101, 'a log line has room for them')
  t.match(found.at(99), '99 unrecognized key: "color"')
  t.match(found.at(100), /has 900 more problems$/)
})

t.test('a name is of one client, and a default scope has scopes of its client', async (t) => {
  t.same(problems({ client_id: 'web' }, {}, { client_id: 'web' }), ['2/client_id is used twice'])
  const scopes = { a: [], b: [] }
  t.same(problems({ scopes, default_scope: 'a  toString z' }), [
    '0/default_scope names scopes that the client does not have: toString z',
  ])
  t.same(problems({ scopes, default_scope: 'b a' }, { scopes, default_scope: '' }), [])
  t.same(problems({ client_id: 'a'.repeat(64) }), [])
  for (const client_id of ['', 'a b', 'a\n', '<b>', 'a'.repeat(65)]) {
    t.match(problems({ client_id }), [/^0\/client_id must be 1 to 64 letters/], client_id)
  }
})

t.test('a redirect URI that could lead elsewhere is refused', async (t) => {
  const grants = ['authorization_code']
  for (const uri of [
    'https://app.example/cb#fragment',
    'https://user@app.example/cb',
    'https:/app.example/cb',
    'https:app.example/cb',
    'http:localhost/cb',
    'https://app.example\\@evil.example/cb',
    'https://app.example/c b',
    'https://app.example/ü',
    'http://app.example/cb',
    'http://localhost.evil.example/cb',
    'javascript:alert(1)',
    'javascript:alert(document.domain)//com.example:/cb',
    'data:text/html,x',
    'app:/cb',
    '/cb',
    '',
  ]) {
    t.match(
      problems({ grants, redirect_uris: [uri] }),
      [/0\/redirect_uris\/0 must be an https/],
      uri,
    )
  }
})

t.test('an unsafe key, secret or address is refused', async (t) => {
  const method = { auth_method: 'private_key_jwt' }
  const { alg: _, ...withoutAlg } = makeKey('ES256').publicJwk
  t.match(problems({ ...method, jwks: { keys: [withoutAlg] } }), [
    /jwks\/keys\/0 is not a key: its alg/,
  ])
  const symmetric = { kty: 'oct', k: 'AAAA', alg: 'HS256', kid: 'a' }
  t.match(problems({ ...method, jwks: { keys: [symmetric] } }), [/jwks\/keys\/0 is not a key/])
  for (const address of [
    'http://client.example/jwks',
    'file:///etc/passwd',
    'ftp://localhost/jwks',
    'https://u:p@c.example/',
    'https://c.example/#keys',
    'https://c.example/ ',
    'c.example',
  ]) {
    const codes = { grants: ['authorization_code'], redirect_uris: ['https://c.example/'] }
    t.same(
      problems({ ...method, jwks_uri: address }, { ...codes, backchannel_logout_uri: address }),
      ['0/jwks_uri', '1/backchannel_logout_uri'].map(
        (field) => `${field} must be an https URL, or http on this machine`,
      ),
      address,
    )
  }
  const secret = { auth_method: 'client_secret_post' }
  t.match(problems({ ...secret, secret_hashes: ['hunter2'] }), [/must be a hash of/])
  t.match(problems({ ...secret, secret_hashes: [hash, hash, hash] }), [/secret_hashes/])
})
