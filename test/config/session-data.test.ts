import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { dataUrl, type Role } from '../../src/config/settings.ts'
import { problemsOf } from '../support/settings.ts'
import { createTestFolder } from '../support/test-folder.ts'

const secret = 's'.repeat(32)

function load(env: Record<string, string>, role: Role = 'verifier') {
  const all = { GATEPASS_SECRET: secret, ...env }
  return loadConfig({ role, env: all, cwd: createTestFolder(t) }).settings
}

function problems(env: Record<string, string>, role: Role = 'verifier'): string[] {
  return problemsOf(() => load(env, role))
}

t.test('session data is on if its secret or its URL is set', async (t) => {
  t.equal(dataUrl(load({})), null)
  t.equal(dataUrl(load({ GATEPASS_DATA_SECRET: secret })), 'sqlite:.gatepass/data.db')
  const both = { GATEPASS_DATA_SECRET: secret, GATEPASS_DATA_URL: 'rediss://redis.example.com' }
  t.equal(dataUrl(load(both)), 'rediss://redis.example.com')
  t.equal(dataUrl(load({ ...both, GATEPASS_DATA_URL: 'off' })), null)
})

t.test('a verifier needs the secret of session data, an issuer does not', async (t) => {
  const env = { GATEPASS_DATA_URL: 'memcacheds://cache.example.com' }
  t.equal(dataUrl(load(env, 'issuer')), env.GATEPASS_DATA_URL)
  t.same(problems(env), ['GATEPASS_DATA_SECRET is required with GATEPASS_DATA_URL'])
  t.same(problems({ GATEPASS_DATA_URL: 'off' }), [])
  t.match(problems({ GATEPASS_DATA_SECRET: 'short' }), [/at least 32 characters/])
})

t.test('only Redis has replicas that confirm changes', async (t) => {
  const data = { GATEPASS_DATA_SECRET: secret, GATEPASS_DATA_REPLICAS: '1' }
  const refused = [/^GATEPASS_DATA_REPLICAS needs a Redis/]
  for (const role of ['issuer', 'verifier'] as const) {
    t.match(problems(data, role), refused)
    const on = (url: string) => problems({ ...data, GATEPASS_DATA_URL: url }, role)
    t.match(on('memcacheds://cache.example.com'), refused)
    t.same(on('rediss+sentinel://sentinel.example.com/shop'), [])
    t.same(on('off'), [])
  }
  const sessions = (url: string) =>
    problems({ GATEPASS_SESSIONS_REPLICAS: '1', GATEPASS_SESSIONS_URL: url }, 'issuer')
  t.match(sessions('sqlite:sessions.db'), [/^GATEPASS_SESSIONS_REPLICAS needs a Redis/])
  t.same(sessions('rediss://redis.example.com'), [])
})

t.test('several workers cannot use a database in memory', async (t) => {
  const settings = { GATEPASS_WORKERS: '2', GATEPASS_DATA_SECRET: secret }
  for (const name of ['GATEPASS_ACCOUNTS_URL', 'GATEPASS_SESSIONS_URL', 'GATEPASS_DATA_URL']) {
    const memory = { ...settings, [name]: 'sqlite::memory:' }
    const needed = new RegExp(`^${name} must be a file if GATEPASS_WORKERS is above 1`)
    t.match(problems(memory, 'issuer'), [needed])
    t.same(problems({ ...memory, GATEPASS_WORKERS: '1' }, 'issuer'), [])
  }
})

t.test('production requires TLS to stores on other machines by default', async (t) => {
  for (const role of ['issuer', 'verifier'] as const) {
    const check = (url: string, more = {}) =>
      problems({ GATEPASS_DATA_URL: url, GATEPASS_DATA_SECRET: secret, ...more }, role)
    for (const url of ['redis://redis.example.com', 'memcached://127.0.0.1,10.0.0.1:11211']) {
      t.match(check(url), [/GATEPASS_DATA_URL needs TLS in production/], url)
      t.same(check(url, { GATEPASS_PLAINTEXT_STORES: 'true' }), [])
      t.same(check(url, { GATEPASS_MODE: 'development' }), [])
    }
    for (const url of [
      'redis://127.0.0.1',
      'rediss://redis.example.com',
      'memcached://localhost:11211',
      'memcacheds://cache.example.com',
      'sqlite:data.db',
    ]) {
      t.same(check(url), [], url)
    }
    t.match(check('redis://:geheim@'), [/cannot be used/])
    t.notMatch(check('redis://:geheim@').join(), 'geheim')
    t.match(check('postgres://db'), [/must be off, or start with sqlite: or redis:/])
  }
  const plain = 'postgres://ada@db.example.com/ada?sslmode=disable'
  for (const name of ['GATEPASS_ACCOUNTS_URL', 'GATEPASS_SESSIONS_URL', 'GATEPASS_KEYS_URL']) {
    const check = (url: string) => problems({ [name]: url }, 'issuer')
    t.match(check(plain), [new RegExp(`^${name} needs TLS in production`)])
    for (const url of [
      plain.replace('disable', 'require'),
      plain.replace('db.example.com', '[::1]'),
    ])
      t.same(check(url), [], url)
  }
})
