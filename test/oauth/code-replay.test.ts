import t, { type Test } from 'tap'
import { codeClient, openCodes } from '../support/issued-code.ts'
import { claimsOf } from '../support/issuer.ts'
import { PostgresServer } from '../support/postgres.ts'
import { TestProcess } from '../support/processes.ts'
import { startRedis } from '../support/redis.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** RFC 6749 §4.1.2 with two real issuers on one store: a code that both receive at once. */

const rounds = 25

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, string>>
}

async function post(url: string, fields: URLSearchParams): Promise<Answer> {
  const response = await fetch(`${url}/oauth/token`, { method: 'POST', body: fields })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

async function replay(t: Test, accountsUrl: string, sessionsUrl: string): Promise<void> {
  const cwd = createTestFolder(t)
  const env = {
    ...serviceEnv,
    GATEPASS_ACCOUNTS_URL: accountsUrl,
    GATEPASS_SESSIONS_URL: sessionsUrl,
    GATEPASS_CLIENTS: JSON.stringify([codeClient]),
  }
  await addUser({ cwd, env })
  const issuers = [1, 2].map(() => TestProcess.start(t, ['issuer'], { cwd, env }))
  const urls = await Promise.all(issuers.map(async (issuer) => (await issuer.ready()).url))
  const { issue, store, started } = await openCodes(t, { cwd, accountsUrl, sessionsUrl })
  for (let round = 0; round < rounds; ) {
    const form = await issue('openid')
    const answers = await Promise.all([...urls, ...urls].map((url) => post(url, form)))
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
    for (const url of urls) t.match(await post(url, new URLSearchParams(refresh)), refused)
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
