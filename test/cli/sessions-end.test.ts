import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { dataOwner } from '../../src/stores/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { runCommand } from '../support/commands.ts'
import { startHttpServer } from '../support/http-server.ts'
import { codeClient, openCodes } from '../support/issued-code.ts'
import { postJson } from '../support/post-json.ts'
import { TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const issuerUrl = 'http://localhost:4000'

/** An issuer on SQLite that can be stopped and started again. */
async function setUp(t: Test) {
  const cwd = createTestFolder(t)
  const env = {
    ...serviceEnv,
    GATEPASS_DATA_URL: 'sqlite:.gatepass/data.db',
    GATEPASS_DATA_SECRET: 'another-secret-of-thirty-two-characters',
    GATEPASS_GRACE_S: '0',
  }
  await addUser({ cwd, env })
  const start = async () => {
    const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
    const { url } = await issuer.ready()
    const post = async (path: string, body: object) => {
      const response = await postJson(`${url}${path}`, body)
      const text = await response.text()
      return (text === '' ? {} : JSON.parse(text)) as Record<string, string>
    }
    return {
      stop: () => issuer.stop(),
      signIn: () => signIn(url),
      refresh: (refresh_token = '') => post('/refresh', { refresh_token }),
      logout: (refresh_token = '') => post('/logout', { refresh_token }),
      snapshot: async () => {
        const response = await fetch(`${url}/revocations`)
        return decodeJwt(await response.text())
      },
    }
  }
  return {
    cwd,
    start,
    sessions: (...args: string[]) => runCommand(['sessions', ...args], { cwd, env }),
  }
}

t.test('I15: after a restore, sessions end revokes restored sessions and tokens', async (t) => {
  const { cwd, start, sessions } = await setUp(t)
  const path = join(cwd, '.gatepass/sessions.db')
  const before = await start()
  const [going, leaving] = [await before.signIn(), await before.signIn()]
  const db = new DatabaseSync(path)
  db.exec(`VACUUM INTO '${path}.backup'`)
  db.close()
  const replaced = going.refresh_token
  const { refresh_token: current } = await before.refresh(replaced)
  await before.logout(leaving.refresh_token)
  await before.stop()

  const restore = () => {
    for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
    copyFileSync(`${path}.backup`, path)
  }
  restore()
  const careless = await start()
  t.match(await careless.refresh(leaving.refresh_token), { refresh_token: /\.1\./ }, 'signed out')
  t.match(await careless.refresh(replaced), { refresh_token: current }, 'and yet replaced')
  await careless.stop()

  restore()
  const data = new SqliteDataStore(join(cwd, '.gatepass/data.db'))
  t.teardown(() => data.close())
  const owner = dataOwner('session', issuerUrl, going.session_id ?? '')
  const nowMs = Date.now()
  const field = { owner, field: 'cart', value: Buffer.from('x'), version: '1', maxFields: 64 }
  await data.write({ ...field, expiresAtMs: nowMs + 3_600_000, nowMs })
  const restoredAt = new Date().toISOString()
  const { code, stdout } = await sessions('end', '--before', restoredAt)
  t.equal(code, 0)
  t.match(stdout, /^Sessions ended: 2\./)
  t.equal((await data.read(owner, 'all', Date.now())).size, 0, 'their data ends with them')

  const after = await start()
  for (const token of [replaced, current, leaving.refresh_token]) {
    t.match(await after.refresh(token), { status: 401, code: 'refresh_token_revoked' })
  }
  const { all } = await after.snapshot()
  t.ok(Number(all) >= Math.floor(Date.parse(restoredAt) / 1000), 'access tokens end as well')
  const newer = await after.signIn()
  t.match(await sessions('end', '--before', restoredAt), { stdout: /^Sessions ended: 0\./ })
  t.match(await after.refresh(newer.refresh_token), { refresh_token: /\.1\./ })
  t.match(await sessions('end', '--all'), { stdout: /^Sessions ended: 1\./ })
  t.match(await after.refresh(newer.refresh_token), { code: 'refresh_token_revoked' })
  await after.stop()
})

t.test('sessions end makes a running issuer notify the clients', async (t) => {
  const logoutTokens: string[] = []
  const application = await startHttpServer(t, async (request, response) => {
    logoutTokens.push(new URLSearchParams(await text(request)).get('logout_token') ?? '')
    response.end()
  })
  const cwd = createTestFolder(t)
  const client = { ...codeClient, backchannel_logout_uri: `${application.url}/signed-out` }
  const stores = { accountsUrl: 'sqlite:accounts.db', sessionsUrl: 'sqlite:sessions.db' }
  const env = {
    ...serviceEnv,
    GATEPASS_ACCOUNTS_URL: stores.accountsUrl,
    GATEPASS_SESSIONS_URL: stores.sessionsUrl,
    GATEPASS_CLIENTS: JSON.stringify([client]),
  }
  await addUser({ cwd, env })
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
  const { url } = await issuer.ready()
  const codes = await openCodes(t, { cwd, ...stores })
  const sids: string[] = []
  for (const scope of ['openid', 'openid', '']) {
    const body = await codes.issue(scope)
    const response = await fetch(`${url}/oauth/token`, { method: 'POST', body })
    const { session_id } = (await response.json()) as { session_id: string }
    if (scope !== '') sids.push(session_id)
  }
  t.match(await runCommand(['sessions', 'end', '--all'], { cwd, env }), {
    stdout: /^Sessions ended: 4\./,
  })
  await until('both sessions are notified', () => logoutTokens.length === 2)
  t.same(logoutTokens.map((token) => decodeJwt(token).sid).sort(), sids.sort())
  t.equal(await issuer.stop(), 0)
})

t.test('sessions end takes a past time in ISO 8601, or --all', async (t) => {
  const cwd = createTestFolder(t)
  for (const [args, message] of [
    [['--before', '2026-02-30T00:00:00Z'], /must be in ISO 8601/],
    [['--before', '2026-11-24T12:00:00'], /must be in ISO 8601/],
    [['--before', '2999-01-01T00:00:00Z'], /in the future/],
    [[], /give --before <time> or --all/],
  ] as const) {
    const { code, stderr } = await runCommand(['sessions', 'end', ...args], { cwd })
    t.equal(code, 2)
    t.match(stderr, message)
  }
})
