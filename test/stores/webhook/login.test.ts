import { join } from 'node:path'
import t from 'tap'
import { TestProcess } from '../../support/processes.ts'
import { projectFolder } from '../../support/project.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { secret } from './support.ts'

const server = [process.execPath, join(projectFolder, 'examples/user-base/server.ts')]

t.test('users of the sample server sign in as documented', async (t) => {
  const cwd = createTestFolder(t)
  const env = { GATEPASS_WEBHOOK_SECRET: secret, PORT: '0' }
  const userBase = TestProcess.start(t, [], { cwd, env, command: server })
  const address = JSON.parse(await userBase.line(/"msg":"ready"/)) as { port: number }
  const issuer = TestProcess.start(t, ['issuer'], {
    cwd,
    env: {
      GATEPASS_SECRET: 'x'.repeat(32),
      GATEPASS_WEBHOOK_SECRET: secret,
      GATEPASS_ACCOUNTS_URL: `webhook+http://127.0.0.1:${address.port}/gatepass`,
      GATEPASS_CLIENTS: '[{"client_id":"web","scopes":{"profile":["name","roles"]}}]',
      GATEPASS_LOG_LEVEL: 'trace',
      GATEPASS_PORT: '0',
      GATEPASS_ADMIN_PORT: '0',
    },
  })
  const { port, adminPort } = await issuer.ready()

  const login = (username: string, password: string) =>
    fetch(`http://127.0.0.1:${port}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, password, refresh_token_in: 'body' }),
    })
  const first = await login('Ada', 'correct horse battery')
  t.equal(first.status, 200)
  const { access_token: token } = (await first.json()) as { access_token: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  t.match(claims, { name: 'Ada', roles: ['admin'] })
  await userBase.line(/"accounts.set_password_hash","status":200/)
  t.equal((await login('ada', 'correct horse battery')).status, 200, 'with the new hash')
  t.equal((await login('ada', 'a wrong one')).status, 401)
  t.equal((await login('nobody', 'a wrong one')).status, 401)
  t.equal((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status, 200)

  await userBase.stop()
  const refused = await login('ada', 'correct horse battery')
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('retry-after'), '1')
  t.match(await refused.json(), { code: 'store_unavailable' })
  t.equal((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status, 503)

  t.equal(await issuer.stop(), 0)
  const logs = issuer.stdout + issuer.stderr + userBase.stdout + userBase.stderr
  t.match(logs, /the connection failed \(ECONNREFUSED\)/, 'the log says why')
  for (const kept of ['$argon2id$', '$scrypt$', secret, 'correct horse', 'wrong one']) {
    t.notOk(logs.includes(kept), kept)
  }
})
