import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { problemsOf } from '../../support/settings.ts'
import { otherSecret, secret } from './support.ts'

const webhook = {
  GATEPASS_SECRET: 'x'.repeat(32),
  GATEPASS_ACCOUNTS_URL: 'webhook+https://users.example.com/gatepass',
  GATEPASS_WEBHOOK_SECRET: secret,
}

function load(changes: Readonly<Record<string, string>> = {}) {
  return loadConfig({ role: 'issuer', env: { ...webhook, ...changes }, cwd: '/nonexistent' })
}

function problems(changes: Readonly<Record<string, string>>): string[] {
  return problemsOf(() => load(changes))
}

t.test('a webhook URL may have several secrets', async (t) => {
  t.strictSame(load().settings.webhook_secret, [secret])
  const both = load({ GATEPASS_WEBHOOK_SECRET: `${otherSecret}\n${secret}` })
  t.strictSame(both.settings.webhook_secret, [otherSecret, secret])
})

t.test('a webhook needs a secret', async (t) => {
  t.match(problems({ GATEPASS_WEBHOOK_SECRET: '' }), [/^GATEPASS_WEBHOOK_SECRET is required/])
  const sqlite = { GATEPASS_ACCOUNTS_URL: 'sqlite:accounts.db', GATEPASS_WEBHOOK_SECRET: '' }
  t.strictSame(problems(sqlite), [], 'nothing else does')
})

t.test('a secret has the form of Standard Webhooks, and no problem quotes it', async (t) => {
  const base64 = (bytes: number) => Buffer.alloc(bytes, 'hunter2').toString('base64')
  for (const good of [24, 32, 64]) {
    t.strictSame(problems({ GATEPASS_WEBHOOK_SECRET: `whsec_${base64(good)}` }), [])
  }
  const bad = [
    base64(32),
    `whsec_${base64(23)}`,
    `whsec_${base64(65)}`,
    `whsec_${base64(32).replaceAll('=', '')}`,
    `whsec_${'-'.repeat(40)}`,
    `whsec_${base64(32)}x`,
  ]
  for (const text of bad) {
    const found = problems({ GATEPASS_WEBHOOK_SECRET: text })
    t.strictSame(found, ['GATEPASS_WEBHOOK_SECRET/0 must be whsec_ and 24 to 64 bytes in base64'])
  }
})

t.test('plain http is allowed in development and on this machine', async (t) => {
  const http = { GATEPASS_ACCOUNTS_URL: 'webhook+http://users.internal/gatepass' }
  t.match(problems(http), [/^GATEPASS_ACCOUNTS_URL must be webhook\+https in production/])
  t.strictSame(problems({ ...http, GATEPASS_MODE: 'development' }), [])
  for (const host of ['localhost:5000', '127.0.0.1:5000', '[::1]:5000']) {
    t.strictSame(problems({ GATEPASS_ACCOUNTS_URL: `webhook+http://${host}/gatepass` }), [], host)
  }
})

t.test('a URL with credentials, a query or a fragment is refused', async (t) => {
  for (const rest of ['me:pw@host/', 'me@host/', 'host/?key=1', 'host/#top', 'host:port', ' ']) {
    const found = problems({ GATEPASS_ACCOUNTS_URL: `webhook+https://${rest}` })
    t.match(found, [/^GATEPASS_ACCOUNTS_URL must be an address without/], rest)
  }
  const found = problems({ GATEPASS_ACCOUNTS_URL: 'webhook+ftp://host/' })
  t.match(found, [/^GATEPASS_ACCOUNTS_URL must start with/])
})
