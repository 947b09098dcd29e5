import t, { type Test } from 'tap'
import { runCommand } from '../support/commands.ts'
import { codeClient, openCodes } from '../support/issued-code.ts'
import { claimsOf } from '../support/issuer.ts'
import { PostgresServer } from '../support/postgres.ts'
import { TestProcess } from '../support/processes.ts'
import { startRedis } from '../support/redis.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** RFC 6749 §4.1.2 with two real issuers on one store: a code that both receive at once. */

const rounds = 25

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, string>>
}

async function post(port: number, fields: URLSearchParams): Promise<Answer> {
  const url = `http://127.0.0.1:${port}/oauth/token`
  const response = await fetch(url, { method: 'POST', body: fields })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

async function replay(t: Test, accountsUrl: string, sessionsUrl: string): Promise<void> {
  const cwd = createTestFolder(t)
  const env = {
    GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
    GATEPASS_ACCOUNTS_URL: accountsUrl,
    GATEPASS_SESSIONS_URL: sessionsUrl,
    GATEPASS_PORT: '0',
    GATEPASS_ADMIN_PORT: '0',
    GATEPASS_ARGON2_MEMORY_KIB: '8',
    GATEPASS_CLIENTS: JSON.stringify([codeClient]),
  }
  await runCommand(['users', 'add', 'ada'], { cwd, env, input: 'correct horse battery staple' })
  const issuers = [1, 2].map(() => TestProcess.start(t, ['issuer'], { cwd, env }))
  const ports = await Promise.all(issuers.map(async (issuer) => (await issuer.ready()).port))
  const { issue, store, started } = await openCodes(t, { cwd, accountsUrl, sessionsUrl })
  for (let round = 0; round < rounds; ) {
    const form = await issue('openid')
    const answers = await Promise.all([...ports, ...ports].map((port) => post(port, form)))
    const won = answers.filter(({ status }) => status === 200)
    // A store of a busy machine may miss a deadline. The request leaves a session without tokens.
    if (answers.some(({ status }) => status === 503)) {
      t.ok(won.length <= 1, 'no two requests get tokens')
      for (const { sid } of await started()) await store.revoke(sid, Date.now(), 60_000)
      continue
    }
    round += 1
    t.equal(won.length, 1, 'one request gets tokens')
    for (const answer of answers) {
      if (answer.status !== 200) t.match(answer, { status: 400, body: { error: 'invalid_grant' } })
    }
    const { access_token = '', refresh_token = '' } = won[0]?.body ?? {}
    t.equal(
      await store.find(String(claimsOf(access_token).sid), Date.now()),
      null,
      'and loses them',
    )
    const refresh = { grant_type: 'refresh_token', client_id: codeClient.client_id, refresh_token }
    const refused = { status: 400, body: { error: 'invalid_grant' } }
    for (const port of ports) t.match(await post(port, new URLSearchParams(refresh)), refused)
  }
  t.same(await started(), [], 'no other request has left a session')
  for (const issuer of issuers) t.equal(await issuer.stop(), 0)
}

t.test('Postgres: a code that two issuers receive at once leaves no session', async (t) => {
  const url = await (await PostgresServer.start(t)).createDatabase()
  await replay(t, url, url)
})

t.test('Redis: a code that two issuers receive at once leaves no session', async (t) => {
  const { url } = await startRedis(t)
  await replay(t, 'sqlite:accounts.db', url)
})
