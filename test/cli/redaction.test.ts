import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { EncryptedKeyStore } from '../../src/keys/encrypted-key-store.ts'
import { FileKeyStore } from '../../src/keys/key-store.ts'
import { runCommand } from '../support/commands.ts'
import { run, TestProcess } from '../support/processes.ts'
import { serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

const macSecret = 'mac-secret-that-must-never-be-seen-anywhere'
const password = 'PassWord-that-must-not-be-seen'
const wrongPassword = 'wrong-PassWord-not-to-be-seen'
const env = {
  ...serviceEnv,
  GATEPASS_SECRET: macSecret,
  GATEPASS_LOG_LEVEL: 'trace',
}

t.test('I10: a whole run shows none of the secrets that it used', async (t) => {
  const cwd = createTestFolder(t)
  const outputs: string[] = []
  const cli = async (args: string[], input = '') => {
    const { stdout, stderr } = await run(t, args, { cwd, env, input })
    outputs.push(stdout, stderr)
  }
  await cli(['users', 'add', 'ada'], password)
  await cli(['users', 'list', '--json'])
  await cli(['users', 'passwd', 'ada'], password)
  await cli(['config'])
  await cli(['config', '--json'])

  const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
  const { url, adminUrl } = await issuer.ready()
  const verifier = TestProcess.start(t, ['verifier'], {
    cwd,
    env: { ...env, GATEPASS_JWKS_URL: `${url}/.well-known/jwks.json` },
  })
  const { url: verifierUrl, adminUrl: verifierAdminUrl } = await verifier.ready()
  const secrets = new Set([macSecret, password, wrongPassword])

  const call = async (address: string, init: RequestInit & { body?: string } = {}) => {
    const type = init.body === undefined ? {} : { 'content-type': 'application/json' }
    const response = await fetch(address, {
      method: 'POST',
      ...init,
      headers: { ...type, ...(init.headers as Record<string, string>) },
    })
    return { response, text: await response.text() }
  }
  const login = async (extra: object, headers = {}) => {
    const body = JSON.stringify({ username: 'ada', password, ...extra })
    const { response, text } = await call(`${url}/login`, { body, headers })
    const cookie = response.headers.get('set-cookie')
    if (cookie !== null) secrets.add(cookie.slice(cookie.indexOf('=') + 1, cookie.indexOf(';')))
    const tokens = response.ok ? JSON.parse(text) : {}
    for (const token of [tokens.access_token, tokens.refresh_token]) if (token) secrets.add(token)
    return tokens
  }

  // A password where a name belongs, in a query, in headers that are taken into the log.
  await login({ username: wrongPassword, password: wrongPassword })
  await login({ password: wrongPassword })
  await login({ pasword: password })
  await call(`${url}/login?password=${password}`, { body: `{"password":"${password}"` })
  await call(`${url}/${password}/x`, { method: 'GET' })
  await login({}, { 'x-request-id': `${macSecret}.x` })
  const { access_token } = await login({})
  const { refresh_token } = await login({ refresh_token_in: 'body' })

  const bearer = { authorization: `Bearer ${access_token}` }
  for (const address of [
    `${url}/me`,
    `${url}/sessions`,
    `${verifierUrl}/verify`,
    `${verifierUrl}/whoami`,
  ]) {
    await call(address, { method: 'GET', headers: bearer })
    await call(address, { method: 'GET', headers: { authorization: `Bearer ${access_token}x` } })
    await call(address, { method: 'GET', headers: { ...bearer, 'x-request-id': access_token } })
    await call(`${address}?access_token=${access_token}`, { method: 'GET' })
  }
  await call(`${url}/sessions/${refresh_token}`, { method: 'DELETE', headers: bearer })
  for (const body of [
    { refresh_token },
    { refresh_token: `${refresh_token}x` },
    { refreshToken: refresh_token },
  ]) {
    await call(`${url}/refresh`, {
      body: JSON.stringify(body),
      headers: { 'idempotency-key': refresh_token },
    })
  }
  await call(`${url}/logout`, { headers: { cookie: `__Host-gatepass=${refresh_token}` } })

  for (const admin of [adminUrl, verifierAdminUrl]) {
    outputs.push((await call(`${admin}/metrics`, { method: 'GET' })).text)
  }
  t.equal(await issuer.stop(), 0)
  t.equal(await verifier.stop(), 0)
  outputs.push(issuer.stdout, issuer.stderr, verifier.stdout, verifier.stderr)
  const keyStore = new FileKeyStore(join(cwd, 'keys'))
  for (const { text } of await keyStore.list()) t.notMatch(text, '"d"', 'it is encrypted')
  for (const { privateJwk } of await new EncryptedKeyStore(keyStore, [macSecret]).list()) {
    secrets.add(String(privateJwk.d))
  }

  const output = outputs.join('\n')
  t.ok(secrets.size >= 8, 'there were secrets to look for')
  t.match(output, /"event":"login\.ok"/, 'there was output to look at')
  t.match(output, /"msg":"answered"/, 'debug lines too')
  for (const secret of secrets) {
    t.notOk(output.includes(secret), 'a secret is in the output')
    // A token's MAC or signature alone is as bad.
    const tail = secret.slice(secret.lastIndexOf('.') + 1)
    t.notOk(tail.length > 20 && output.includes(tail), 'a part of a secret is in the output')
  }
})

t.test('I9: the database holds no token and no password', async (t) => {
  const cwd = createTestFolder(t)
  await runCommand(['users', 'add', 'ada'], { cwd, env, input: password })
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
  const { url } = await issuer.ready()
  const { refresh_token, access_token } = await signIn(url, { password })
  await issuer.stop()
  for (const name of ['accounts.db', 'sessions.db', 'sessions.db.counters']) {
    const bytes = readFileSync(join(cwd, '.gatepass', name)).toString('latin1')
    for (const secret of [password, refresh_token, access_token, macSecret]) {
      t.notOk(bytes.includes(secret.slice(secret.lastIndexOf('.') + 1)), name)
    }
  }
})
