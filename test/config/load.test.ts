import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type LoadOptions, loadConfig } from '../../src/config/load.ts'
import { problemsOf } from '../support/settings.ts'
import { createTestFolder } from '../support/test-folder.ts'

const secret = 'a secret of at least thirty-two characters'.replaceAll(' ', '-')
const env = { GATEPASS_SECRET: secret }

function load(options: Partial<LoadOptions> = {}) {
  return loadConfig({ role: 'issuer', env, cwd: '/nonexistent', ...options })
}

function problems(options: Partial<LoadOptions>): string[] {
  return problemsOf(() => load(options))
}

t.test("passwords are hashed with OWASP's cost unless told otherwise", async (t) => {
  const owasp = { argon2_memory_kib: 19 * 1024, argon2_passes: 2, argon2_parallelism: 1 }
  t.match(load().settings, owasp)
})

t.test('an empty GATEPASS_CONFIG names no settings file', async (t) => {
  const cwd = createTestFolder(t, { 'gatepass.json': '{"grace_s":7}' })
  t.equal(load({ cwd, env: { ...env, GATEPASS_CONFIG: '' } }).settings.grace_s, 7)
})

t.test('GATEPASS_CONFIG names the settings file, unless an option does', async (t) => {
  const cwd = createTestFolder(t, { one: '{"grace_s":1}', two: '{"grace_s":2}' })
  const named = { cwd, env: { ...env, GATEPASS_CONFIG: 'one' } }
  t.equal(load(named).settings.grace_s, 1)
  t.equal(load({ ...named, file: 'two' }).settings.grace_s, 2)
})

t.test('a flag may be 1 or 0, and white space is no number', async (t) => {
  const flag = (text: string) =>
    load({ env: { ...env, GATEPASS_PLAINTEXT_STORES: text } }).settings.plaintext_stores
  t.same(['1', 'TRUE', '0', 'False'].map(flag), [true, true, false, false])
  for (const text of [' ', 'Infinity', 'NaN']) {
    t.same(problems({ env: { ...env, GATEPASS_PORT: text } }), ['GATEPASS_PORT must be 0 to 65535'])
  }
})

t.test('an empty mounted file is a problem, not an unset setting', async (t) => {
  const cwd = createTestFolder(t, { empty: '\n' })
  const mounted = { ...env, GATEPASS_KEYS_SECRET_FILE: 'empty', GATEPASS_DATA_SECRET_FILE: 'empty' }
  t.same(problems({ cwd, env: mounted }).sort(), [
    'GATEPASS_DATA_SECRET_FILE empty is empty',
    'GATEPASS_KEYS_SECRET_FILE empty is empty',
  ])
})

t.test('every list of texts may be one text in the settings file', async (t) => {
  const cwd = createTestFolder(t, {
    'gatepass.json':
      '{"allowed_origins": "https://a.example, https://b.example", "trusted_proxies": "10.0.0.1"}',
  })
  t.match(load({ cwd }).settings, {
    allowed_origins: ['https://a.example', 'https://b.example'],
    trusted_proxies: ['10.0.0.1'],
  })
})

t.test('a number, flag or JSON list in quotation marks is named as such', async (t) => {
  const file = {
    port: '4000',
    plaintext_stores: 'true',
    workers: 'many',
    grace_s: '601',
    clients: '[]',
  }
  const cwd = createTestFolder(t, { 'gatepass.json': JSON.stringify(file) })
  t.same(problems({ cwd }).sort(), [
    'clients must be a JSON list, without quotation marks',
    'grace_s must be 0 to 600 seconds',
    'plaintext_stores must be true or false, without quotation marks',
    'port must be 0 to 65535, without quotation marks',
    'workers must be 1 to 256',
  ])
})

t.test('localhost is one address to listen on', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '::1', '0.0.0.0']) {
    const { settings } = load({ env: { ...env, GATEPASS_HOST: host } })
    t.equal(settings.host, host === 'localhost' ? '127.0.0.1' : host)
  }
})

t.test('a byte order mark of an editor is not part of a setting', async (t) => {
  const cwd = createTestFolder(t, {
    'gatepass.json': '\ufeff{"grace_s": 7}\r\n',
    audience: '\ufeffhttps://api.example\r\n',
  })
  const { settings } = load({ cwd, env: { ...env, GATEPASS_AUDIENCE_FILE: 'audience' } })
  t.match(settings, { grace_s: 7, audience: 'https://api.example' })
})

t.test('a file that is not UTF-8 is refused, not changed', async (t) => {
  const cwd = createTestFolder(t)
  writeFileSync(join(cwd, 'secret'), Buffer.from(`\ufeff${secret}`, 'utf16le'))
  t.match(problems({ cwd, env: { GATEPASS_SECRET_FILE: 'secret' } }), [
    /^GATEPASS_SECRET_FILE secret cannot be read \(ERR_ENCODING_INVALID_ENCODED_DATA\)$/,
  ])
})

t.test('a setting that is given twice is refused', async (t) => {
  const cwd = createTestFolder(t, { 'gatepass.json': '{"grace_s": 0, "grace_s": 600}' })
  t.match(problems({ cwd }), [
    /gatepass\.json is not a JSON object of settings: it has a name twice$/,
  ])
  const clients = '[{"client_id":"web","scopes":{},"dpop":"required","dpop":"optional"}]'
  t.same(problems({ env: { ...env, GATEPASS_CLIENTS: clients } }), [
    'GATEPASS_CLIENTS is not valid JSON, or has a name twice',
  ])
})

t.test('a settings file that cannot be read is a problem', async (t) => {
  const cwd = createTestFolder(t, { 'gatepass.json': {} })
  t.same(problems({ cwd }), [`GATEPASS_CONFIG ${cwd}/gatepass.json cannot be read (EISDIR)`])
})

t.test('has the defaults of the design', async (t) => {
  const { settings } = load()
  t.same(settings.allowed_origins, [])
  t.match(settings, {
    mode: 'production',
    issuer: 'http://localhost:4000',
    audience: 'http://localhost',
    host: '127.0.0.1',
    port: 4000,
    admin_port: 4001,
    accounts_url: 'sqlite:.gatepass/accounts.db',
    keys_url: 'file:keys',
    algorithm: 'ES256',
    access_ttl_s: 300,
    grace_s: 10,
    session_idle_s: 14 * 86_400,
    session_max_s: 90 * 86_400,
    key_rotation_s: 30 * 86_400,
    jwks_max_age_s: 300,
    clock_skew_s: 5,
  })
  t.match(load({ role: 'verifier', env: {} }).settings, { port: 4100, admin_port: 4101 })
})

t.test('the environment wins over the file, the file over the default', async (t) => {
  const cwd = createTestFolder(t, {
    'gatepass.json': '{"grace_s": 20, "access_ttl_s": 60, "port": 1}',
  })
  const { settings, effective } = load({ cwd, env: { ...env, GATEPASS_GRACE_S: '30' } })
  t.match(settings, { grace_s: 30, access_ttl_s: 60, port: 1, clock_skew_s: 5 })
  const sourceOf = (name: string) => effective.find(({ setting }) => setting.name === name)?.source
  t.same(sourceOf('grace_s'), 'GATEPASS_GRACE_S')
  t.same(sourceOf('access_ttl_s'), join(cwd, 'gatepass.json'))
  t.same(sourceOf('clock_skew_s'), 'default')
})

t.test('every setting can come from a mounted file', async (t) => {
  const cwd = createTestFolder(t, { secret: `${secret}\n`, port: '8080' })
  const { settings } = load({
    cwd,
    env: { GATEPASS_SECRET_FILE: 'secret', GATEPASS_PORT_FILE: join(cwd, 'port') },
  })
  t.match(settings, { secret: [secret], port: 8080 })
  t.match(problems({ cwd, env: { ...env, GATEPASS_SECRET_FILE: 'secret' } }), [/is set twice/])
  t.match(problems({ cwd, env: { GATEPASS_SECRET_FILE: 'missing' } }), [
    /cannot be read \(ENOENT\)/,
  ])
})

t.test('lists every problem, not the first only', async (t) => {
  const found = problems({
    env: {
      GATEPASS_PORT: 'eighty',
      GATEPASS_ACCESS_TTL_S: '0',
      GATEPASS_ALGORITHM: 'HS256',
      GATEPASS_ISSUER: 'auth.example.com',
      GATEPASS_ALLOWED_ORIGINS: 'https://a.example, https://b.example/',
      GATEPASS_PLAYGROUND: 'maybe',
      GATEPASS_ACCES_TTL_S: '5',
      GATEPASS_ACCOUNTS_URL: 'mysql:accounts',
      // These break a rule between settings.
      GATEPASS_SESSIONS_URL: 'redis://redis.example.com',
      GATEPASS_SESSION_IDLE_S: '34560000',
    },
  })
  t.match(found.sort(), [
    /^GATEPASS_ACCESS_TTL_S /,
    /^GATEPASS_ACCES_TTL_S is not a setting; did you mean GATEPASS_ACCESS_TTL_S\?/,
    /^GATEPASS_ACCOUNTS_URL must start with /,
    /^GATEPASS_ALGORITHM /,
    /^GATEPASS_ALLOWED_ORIGINS\/1 must be an origin/,
    /^GATEPASS_ISSUER must be an http\(s\) URL/,
    /^GATEPASS_PLAYGROUND /,
    /^GATEPASS_PORT /,
    /^GATEPASS_SECRET is required and not set/,
    /^GATEPASS_SESSIONS_URL needs TLS in production/,
    /^GATEPASS_SESSION_IDLE_S must not be longer than GATEPASS_SESSION_MAX_S/,
  ])
})

t.test('the problem of a refused value says what is allowed', async (t) => {
  const found = problems({
    env: {
      ...env,
      GATEPASS_MODE: 'prod',
      GATEPASS_ACCESS_TTL_S: '5m',
      GATEPASS_PORT: '80000',
      GATEPASS_WORKERS: '0',
      GATEPASS_PLAINTEXT_STORES: 'yes',
      GATEPASS_CLIENTS: '[{"client_id": "web",}]',
      GATEPASS_AUDIENCES: '{}',
    },
  })
  t.same(found.sort(), [
    'GATEPASS_ACCESS_TTL_S must be 1 to 86400 seconds',
    'GATEPASS_AUDIENCES must be a JSON list',
    'GATEPASS_CLIENTS is not valid JSON, or has a name twice',
    'GATEPASS_MODE must be production or development',
    'GATEPASS_PLAINTEXT_STORES must be true or false',
    'GATEPASS_PORT must be 0 to 65535',
    'GATEPASS_WORKERS must be 1 to 256',
  ])
})

t.test('the service and its admin port need two ports', async (t) => {
  const same = { GATEPASS_PORT: '4000', GATEPASS_ADMIN_PORT: '4000' }
  for (const role of ['issuer', 'verifier'] as const) {
    t.same(problems({ role, env: { ...env, ...same } }), [
      'GATEPASS_ADMIN_PORT must not be GATEPASS_PORT',
    ])
  }
  t.same(problems({ env: { ...env, GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0' } }), [])
})

t.test('a longer name may have more mistakes', async (t) => {
  t.same(problems({ env: { ...env, GATEPASS_TRUSTED_PROXY: '10.0.0.0/8' } }), [
    'GATEPASS_TRUSTED_PROXY is not a setting; did you mean GATEPASS_TRUSTED_PROXIES?',
  ])
  // Every setting has a form with _FILE, but the settings file is no setting.
  t.same(problems({ env: { ...env, GATEPASS_CONFIG_FILE: '/etc/gatepass.json' } }), [
    'GATEPASS_CONFIG_FILE is not a setting; did you mean GATEPASS_CONFIG?',
  ])
  t.same(problems({ env: { ...env, GATEPASS_IMAGE: 'gatepass:1' } }), [])
})

t.test('no problem shows a value that may be a secret', async (t) => {
  const found = problems({ env: { GATEPASS_SECRET: 'short-hunter2' } })
  t.match(found, [/^GATEPASS_SECRET\/0 must have at least 32 characters/])
  t.notMatch(found.join(), /hunter2/)
})

t.test('several secrets, newest first, by comma or line', async (t) => {
  const older = `${secret}-older`
  t.same(load({ env: { GATEPASS_SECRET: `${secret},${older}` } }).settings.secret, [secret, older])
  t.same(load({ env: { GATEPASS_SECRET: `${secret}\n${older}` } }).settings.secret, [secret, older])
  t.same(problems({ env: { GATEPASS_SECRET: ' , ', GATEPASS_CLIENTS: '[]' } }), [
    'GATEPASS_SECRET must not be empty',
    'GATEPASS_CLIENTS must not be empty',
  ])
})

t.test('production refuses unsafe settings; development accepts them', async (t) => {
  const unsafe = { GATEPASS_ISSUER: 'http://auth.example.com', GATEPASS_PLAYGROUND: 'true' }
  t.match(problems({ env: { ...env, ...unsafe } }), [
    /^GATEPASS_ISSUER must be https in production/,
    /^GATEPASS_PLAYGROUND must be false in production/,
  ])
  t.same(problems({ env: { ...env, ...unsafe, GATEPASS_MODE: 'development' } }), [])
  t.match(problems({ role: 'verifier', env: unsafe }), [/^GATEPASS_ISSUER must be https/])
  const misspelled = { ...env, GATEPASS_ISSUER: 'https:/auth.example.com' }
  t.match(problems({ env: misspelled }), [/^GATEPASS_ISSUER must be an http\(s\) URL/])
})

t.test('an issuer has a path that the router takes literally', async (t) => {
  const found = (path: string) =>
    problems({ env: { ...env, GATEPASS_ISSUER: `https://auth.example.com${path}` } })
  for (const path of ['/a*b', '/a%2Ab', '/a%2Fb', '/%FF']) {
    t.match(found(path), [/^GATEPASS_ISSUER must not have \*, or an encoded delimiter/], path)
  }
  for (const path of ['/t:1', '/caf%C3%A9/a%20b', '/a(b)']) t.same(found(path), [], path)
})

t.test('the playground is off, and refused in production', async (t) => {
  t.equal(load().settings.playground, false)
  const on = { ...env, GATEPASS_PLAYGROUND: 'true' }
  t.match(problems({ env: on }), [/^GATEPASS_PLAYGROUND must be false in production, because/])
  t.same(problems({ env: { ...on, GATEPASS_MODE: 'development' } }), [])
})

t.test('settings that contradict one another are refused', async (t) => {
  const check = (changes: Record<string, string>) => problems({ env: { ...env, ...changes } })
  t.match(check({ GATEPASS_SESSION_MAX_S: '60', GATEPASS_SESSION_IDLE_S: '61' }), [
    /IDLE_S must not/,
  ])
  t.match(check({ GATEPASS_GRACE_S: '60', GATEPASS_SESSION_IDLE_S: '60' }), [
    /GRACE_S must be short/,
  ])
  const staleness = (s: string, revocations = 'poll') =>
    problems({
      role: 'verifier',
      env: {
        GATEPASS_REVOCATIONS: revocations,
        GATEPASS_REVOCATIONS_POLL_S: '30',
        GATEPASS_REVOCATIONS_MAX_STALENESS_S: s,
      },
    })
  t.match(staleness('30'), [/STALENESS_S must be longer than GATEPASS_REVOCATIONS_POLL_S/])
  t.match(staleness('31', 'off'), [/STALENESS_S can only be set if/])
  t.same(staleness('31'), [])
  t.match(check({ GATEPASS_ARGON2_MEMORY_KIB: '8', GATEPASS_ARGON2_PARALLELISM: '4' }), [
    /does not fit/,
  ])
})

t.test('invariant 5: a rotation period shorter than the lead time is refused', async (t) => {
  const check = (rotation: string) =>
    problems({ env: { ...env, GATEPASS_KEY_ROTATION_S: rotation } })
  t.match(check('300'), [/^GATEPASS_KEY_ROTATION_S .*must be longer/])
  t.same(check('3600'), [])
})

t.test('a rotation that publishes more keys than a verifier accepts is refused', async (t) => {
  const check = (ttl: string) =>
    problems({ env: { ...env, GATEPASS_KEY_ROTATION_S: '600', GATEPASS_ACCESS_TTL_S: ttl } })
  t.match(check('9601'), [/^GATEPASS_KEY_ROTATION_S .*at most 16/])
  t.same(check('9600'), [])
})

t.test('all times can be as short as allowed', async (t) => {
  const short = {
    GATEPASS_ACCESS_TTL_S: '1',
    GATEPASS_JWKS_MAX_AGE_S: '1',
    GATEPASS_CLOCK_SKEW_S: '1',
    GATEPASS_KEY_ROTATION_S: '3',
    GATEPASS_GRACE_S: '0',
    GATEPASS_SESSION_IDLE_S: '1',
    GATEPASS_SESSION_MAX_S: '1',
  }
  t.same(problems({ env: { ...env, ...short } }), [])
  const tooShort = { GATEPASS_CLOCK_SKEW_S: '0', GATEPASS_KEY_ROTATION_S: '2' }
  t.match(problems({ env: { ...env, ...tooShort } }), [
    /^GATEPASS_KEY_ROTATION_S must be 3 to /,
    /^GATEPASS_CLOCK_SKEW_S must be 1 to 60 seconds/,
  ])
})

t.test('clients are checked as a whole', async (t) => {
  const clients = [
    { client_id: 'web', scopes: { a: ['name'], 'b c': [] }, default_scope: 'a z' },
    { client_id: 'web', scopes: { a: ['sub'] }, scope: 'x' },
    { client_id: 'cli' },
  ]
  const found = problems({ env: { ...env, GATEPASS_CLIENTS: JSON.stringify(clients) } })
  t.ok(found.includes('GATEPASS_CLIENTS/0/scopes/b c is not a scope name'))
  t.ok(found.includes('GATEPASS_CLIENTS/2/scopes is required and not set'))
  t.ok(found.includes('GATEPASS_CLIENTS/1/scopes/a/0 is a claim that Gatepass makes itself'))
  t.match(
    found.find((text) => text.startsWith('GATEPASS_CLIENTS/1 ')),
    /"scope"/,
  )
})

t.test('a settings file that is not JSON, or has an unknown name, is refused', async (t) => {
  const cwd = createTestFolder(t, { 'gatepass.json': '{"port": 1,' })
  t.match(problems({ cwd }), [/is not a JSON object of settings \(line 1 column 12\)$/])
  writeFileSync(join(cwd, 'gatepass.json'), '{"grace": 1, "graces": 2, "colour": "red"}')
  t.same(problems({ cwd }), [
    'grace is not a setting; did you mean grace_s?',
    'graces is not a setting; did you mean grace_s?',
    'colour is not a setting',
  ])
  t.match(problems({ cwd, file: 'other.json' }), [/cannot be read/])
})

t.test('variables of other programs are ignored', async (t) => {
  // Kubernetes sets these for services named gatepass, gatepass-admin and gatepass-sessions.
  const kubernetes = {
    GATEPASS_SERVICE_HOST: '10.0.0.1',
    GATEPASS_PORT: 'tcp://10.0.0.1:4000',
    GATEPASS_PORT_4000_TCP: 'tcp://10.0.0.1:4000',
    GATEPASS_ADMIN_PORT: 'tcp://10.0.0.1:4001',
    GATEPASS_SESSIONS_PORT: 'tcp://10.0.0.1:6379',
    GATEPASS_SESSIONS_SERVICE_HOST: '10.0.0.1',
    GATEPASS_SESSIONS_SERVICE_PORT: '6379',
  }
  t.same(problems({ env: { ...env, ...kubernetes } }), [])
  t.match(load({ env: { ...env, ...kubernetes } }).settings, { port: 4000, admin_port: 4001 })
  // No other variable of Kubernetes has the name of a setting: an issuer on its default store would be silent.
  t.match(problems({ env: { ...env, GATEPASS_SESSIONS_URL: 'tcp://redis:6379' } }), [
    /^GATEPASS_SESSIONS_URL must start with sqlite:/,
  ])
})
