import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { type Client, Clients } from '../../src/issuer/clients.ts'
import {
  isRegistered,
  prompts,
  readQuery,
  validateRequest,
  withParameters,
} from '../../src/oauth/authorization-request.ts'
import { formatForm } from '../../src/oauth/form.ts'
import fc from '../support/properties.ts'

const client: Client = {
  client_id: 'app',
  scopes: { profile: ['name'], 'data:read': [] },
  default_scope: 'data:read',
  grants: ['authorization_code'],
  redirect_uris: ['https://app.example.com/callback'],
}
const { default_scope: _, ...others } = client
const withoutDefault: Client = { ...others, client_id: 'without-default' }
const clients = new Clients([client, withoutDefault, { client_id: 'plain', scopes: {} }])
const issuer = 'https://auth.example.com'
const audience = 'https://api.example.com'
const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

const good = {
  response_type: 'code',
  client_id: 'app',
  redirect_uri: 'https://app.example.com/callback',
  code_challenge: challenge,
  code_challenge_method: 'S256',
  state: 'abc',
}

/** Validates a good request with changes; undefined leaves a parameter out. */
function validate(changes: Readonly<Record<string, string | undefined>> = {}, more = '') {
  const parameters = readQuery(`${formatForm({ ...good, ...changes })}${more}`)
  return validateRequest(parameters, { issuer, clients, minter: { audienceOf } })
}

function redirectOf(result: ReturnType<typeof validate>): URL {
  if ('url' in result) return new URL(result.url)
  throw new Error('the request is accepted')
}

function audienceOf(_client: Client, resource = audience): string {
  if (resource !== audience) throw new GatepassError('resource_not_allowed')
  return audience
}

t.test('a good request is accepted', async (t) => {
  t.match(validate(), {
    client,
    redirectUri: good.redirect_uri,
    state: 'abc',
    scope: 'data:read',
    codeChallenge: challenge,
    nonce: undefined,
    maxAgeSeconds: undefined,
  })
  const request = validate({
    scope: 'openid profile',
    nonce: 'n',
    resource: audience,
    prompt: 'login consent',
    max_age: '60',
    response_mode: 'query',
    login_hint: 'ada',
    id_token_hint: 'a.b.c',
    ui_locales: 'de en',
    dpop_jkt: challenge,
    display: 'page',
    unknown: 'x',
  })
  t.match(request, {
    scope: 'openid profile',
    nonce: 'n',
    resource: audience,
    maxAgeSeconds: 60,
    loginHint: 'ada',
    idTokenHint: 'a.b.c',
    uiLocales: 'de en',
    jkt: challenge,
    prompts: new Set(['login', 'consent']),
  })
  for (const prompt of prompts) t.match(validate({ prompt }), { prompts: new Set([prompt]) })
})

t.test('the scope of a request, of its client, and never openid unasked', async (t) => {
  for (const [changes, scope] of [
    [{ scope: 'profile openid' }, 'profile openid'],
    [{}, 'data:read'],
    [{ scope: '' }, 'data:read'],
    [{ client_id: 'without-default' }, 'profile data:read'],
  ] as const) {
    t.strictSame(Object(validate(changes)).scope, scope)
  }
})

t.test('a request without a safe redirect URI is refused with a page', async (t) => {
  const cases: readonly [string, Record<string, string | undefined>, string?][] = [
    ['client_unknown', { client_id: undefined }],
    ['client_unknown', { client_id: 'nobody' }],
    ['grant_not_allowed', { client_id: 'plain' }],
    ['redirect_uri_not_allowed', { redirect_uri: undefined }],
    ['redirect_uri_not_allowed', { redirect_uri: '' }],
    ['redirect_uri_not_allowed', { redirect_uri: 'https://evil.example/' }],
    ['request_malformed', {}, '&redirect_uri=https://evil.example/'],
    ['request_malformed', {}, '&client_id=app'],
    ['request_malformed', { client_secret: 'secret' }],
    ['request_malformed', { state: 'x'.repeat(7_000) }],
    ['request_malformed', {}, '&a=b'.repeat(65)],
  ]
  for (const [code, changes, more] of cases) {
    t.throws(() => validate(changes, more), { code }, JSON.stringify(changes))
  }
})

t.test('other errors are reported by a redirect', async (t) => {
  const cases: readonly [string, Record<string, string | undefined>, string?][] = [
    ['invalid_request', { response_type: undefined }],
    ['unsupported_response_type', { response_type: 'token' }],
    ['unsupported_response_type', { response_type: 'code id_token' }],
    ['invalid_request', { response_mode: 'fragment' }],
    ['invalid_request', { code_challenge: undefined }],
    ['invalid_request', { code_challenge_method: undefined }],
    ['invalid_request', { code_challenge_method: 'plain' }],
    ['invalid_request', { code_challenge: 'short' }],
    ['invalid_request', { code_challenge: `${challenge}=` }],
    ['invalid_request', { code_challenge: ` ${challenge}` }],
    ['invalid_scope', { scope: 'admin' }],
    ['invalid_scope', { scope: ' ' }],
    ['invalid_target', { resource: 'https://other.example' }],
    ['invalid_target', {}, `&resource=${audience}&resource=${audience}`],
    ['invalid_request', { prompt: 'none login' }],
    ['invalid_request', { prompt: 'create' }],
    ['invalid_request', { max_age: '-1' }],
    ['invalid_request', { max_age: '1.5' }],
    ['invalid_request', { nonce: 'n'.repeat(513) }],
    ['invalid_request', { dpop_jkt: 'short' }],
    ['invalid_request', {}, '&scope=profile&scope=data:read'],
    ['request_not_supported', { request: 'a.b.c' }],
    ['request_uri_not_supported', { request_uri: 'https://app.example.com/request' }],
    ['registration_not_supported', { registration: '{}' }],
  ]
  for (const [error, changes, more] of cases) {
    const { origin, pathname, searchParams } = redirectOf(validate(changes, more))
    t.equal(origin + pathname, good.redirect_uri)
    t.match(
      Object.fromEntries(searchParams),
      // RFC 9207: `iss`.
      { error, error_description: /\w/, state: 'abc', iss: issuer },
      JSON.stringify(changes),
    )
  }
  t.equal(redirectOf(validate({}, '&state=other')).searchParams.get('state'), null)
  const { searchParams } = redirectOf(validate({ scope: 'admin' }))
  t.match(searchParams.get('error_description'), /admin/)
})

t.test('property: redirects lead to the registered URI, and requests need S256', async () => {
  const name = fc.constantFrom(
    ...Object.keys(good),
    'scope',
    'prompt',
    'max_age',
    'resource',
    'nonce',
  )
  const value = fc.oneof(fc.constantFrom(...Object.values(good), 'plain', ''), fc.string())
  fc.assert(
    fc.property(
      fc.dictionary(name, value),
      fc.array(fc.tuple(name, value)),
      (changes, repeated) => {
        let result: ReturnType<typeof validate>
        try {
          result = validate(changes, `&${new URLSearchParams(repeated)}`)
        } catch (error) {
          return error instanceof GatepassError && error.status === 400
        }
        if ('url' in result) return result.url.startsWith(`${good.redirect_uri}?error=`)
        const { redirectUri, codeChallenge } = result
        return redirectUri === good.redirect_uri && /^[\w-]{43}$/.test(codeChallenge)
      },
    ),
  )
})

const registered = [
  'https://app.example.com/callback',
  'https://app.example.com/with?query=1',
  'http://127.0.0.1/callback',
  'http://[::1]:8000/callback',
  'http://localhost:3000',
  'com.example.app:/callback',
]

t.test('a registered URI is accepted', async (t) => {
  for (const uri of registered) t.ok(isRegistered(uri, registered), uri)
})

t.test('on the loopback interface the port is free', async (t) => {
  for (const uri of [
    'http://127.0.0.1:51004/callback',
    'http://127.0.0.1:65535/callback',
    'http://[::1]/callback',
    'http://[::1]:1/callback',
    'http://localhost:9999',
  ]) {
    t.ok(isRegistered(uri, registered), uri)
  }
})

t.test('every other spelling of a registered URI is refused', async (t) => {
  for (const uri of [
    'https://app.example.com/Callback',
    'https://APP.example.com/callback',
    'HTTPS://app.example.com/callback',
    'https://app.example.com:443/callback',
    'https://app.example.com/callback/',
    'https://app.example.com/callback/../callback',
    'https://app.example.com/callback?x=1',
    'https://app.example.com/callback#x',
    'https://app.example.com/callback%00',
    'https://app.example.com/%63allback',
    'https://app.example.com//callback',
    'https://app.example.com\\callback',
    ' https://app.example.com/callback',
    'https://app.example.com/callback\n',
    'https://app.example.com@evil.example/callback',
    'https://evil.example/https://app.example.com/callback',
    'https://app.example.com.evil.example/callback',
    'http://app.example.com/callback',
    '//app.example.com/callback',
    'javascript:alert(1)',
    'https://app.example.com',
    'javascript://http://127.0.0.1/callback',
    'http://127.0.0.1:51004/other',
    'http://127.0.0.1:51004',
    'http://127.0.0.1:0/callback',
    'http://127.0.0.1:65536/callback',
    'http://127.0.0.1:51004@evil.example/callback',
    'http://127.0.0.1:51004.evil.example/callback',
    'http://127.0.0.1.evil.example/callback',
    'http://127.0.0.1:/callback',
    'http://127.0.0.1:051004/callback',
    'http://127.0.0.2/callback',
    'http://127.1/callback',
    'http://2130706433/callback',
    'http://localhost:3000/',
    'http://localhost:3000\\@evil.example',
    'http://user@127.0.0.1/callback',
    'https://127.0.0.1/callback',
    'http://127.0.0.1:51004/callback#x',
    'com.example.app:/callback/',
    'com.example.app://callback',
    '',
  ]) {
    t.notOk(isRegistered(uri, registered), uri)
  }
})

t.test('property: an accepted URI has the host and path of a registered one', async (t) => {
  const piece = fc.constantFrom(
    ...[
      'http://',
      'https://',
      '127.0.0.1',
      'localhost',
      '[::1]',
      ':',
      '80',
      '@',
      '/',
      '\\',
      '?',
      '#',
    ],
    ...['app.example.com', 'evil.example', '/callback', '.', '%2f', ' ', '\t', 'com.example.app:'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const uri = pieces.join('')
      if (!isRegistered(uri, registered)) return
      const { protocol, hostname, pathname, username } = new URL(uri)
      const same = registered
        .map((one) => new URL(one))
        .filter((one) => one.protocol === protocol && one.hostname === hostname)
      t.ok(same.some((one) => one.pathname === pathname) && username === '', uri)
    }),
  )
})

t.test('parameters are appended to the query', async (t) => {
  const given = { code: 'a b&c', state: undefined, iss: 'https://x' }
  const query = 'code=a+b%26c&iss=https%3A%2F%2Fx'
  t.equal(withParameters('https://a/cb', given), `https://a/cb?${query}`)
  t.equal(withParameters('https://a/cb?x=1', given), `https://a/cb?x=1&${query}`)
  t.equal(withParameters('com.example.app:/cb', given), `com.example.app:/cb?${query}`)
  t.equal(withParameters('https://a/cb', {}), 'https://a/cb')
})
