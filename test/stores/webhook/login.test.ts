import { join } from 'node:path'
import t from 'tap'
import { postJson } from '../../support/post-json.ts'
import { TestProcess } from '../../support/processes.ts'
import { projectFolder } from '../../support/project.ts'
import { serviceEnv } from '../../support/services.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { claimsOf } from '../../support/tokens.ts'
import { secret } from './support.ts'

const server = [process.execPath, join(projectFolder, 'examples/user-base/server.ts')]

t.test('users of the sample server sign in as documented', async (t) => {
  const cwd = createTestFolder(t)
  const env = { GATEPASS_WEBHOOK_SECRET: secret, PORT: '0' }
  const userBase = TestProcess.start(t, [], { cwd, env, command: server })
  const users = await userBase.ready()
  const issuer = TestProcess.start(t, ['issuer'], {
    cwd,
    env: {
      ...serviceEnv,
      GATEPASS_WEBHOOK_SECRET: secret,
      GATEPASS_ACCOUNTS_URL: `webhook+${users.url}/gatepass`,
      GATEPASS_CLIENTS: '[{"client_id":"web","scopes":{"profile":["name","roles"]}}]',
      GATEPASS_LOG_LEVEL: 'trace',
    },
  })
  const { url, adminUrl } = await issuer.ready()

  const login = (username: string, password: string) =>
    postJson(`${url}/login`, { username, password, refresh_token_in: 'body' })
  const first = await login('Ada', 'correct horse battery')
  t.equal(first.status, 200)
  const { access_token: token } = (await first.json()) as { access_token: string }
  t.match(claimsOf(token), { name: 'Ada', roles: ['admin'] })
  await userBase.line(/"accounts.set_password_hash","status":200/)
  t.equal((await login('ada', 'correct horse battery')).status, 200, 'with the new hash')
  t.equal((await login('ada', 'a wrong one')).status, 401)
  t.equal((await login('nobody', 'a wrong one')).status, 401)
  t.equal((await fetch(`${adminUrl}/readyz`)).status, 200)

  await userBase.stop()
  const refused = await login('ada', 'correct horse battery')
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('retry-after'), '1')
  t.match(await refused.json(), { code: 'store_unavailable' })
  t.equal((await fetch(`${adminUrl}/readyz`)).status, 503)

  t.equal(await issuer.stop(), 0)
  const logs = issuer.stdout + issuer.stderr + userBase.stdout + userBase.stderr
  t.match(logs, /the connection failed \(ECONNREFUSED\)/, 'the log says why')
  for (const kept of ['$argon2id$', '$scrypt$', secret, 'correct horse', 'wrong one']) {
    t.notOk(logs.includes(kept), kept)
  }
})
