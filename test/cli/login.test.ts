import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { login as loginCommand } from '../../src/cli/commands/login.ts'
import type { CliContext } from '../../src/cli/context.ts'
import { IssuerClient } from '../../src/cli/login/issuer-client.ts'
import { SavedSession, SessionFile } from '../../src/cli/login/saved-session.ts'
import { GatepassError } from '../../src/core/errors.ts'
import { password } from '../support/accounts.ts'
import { FakeClock } from '../support/clock.ts'
import { runCommand } from '../support/commands.ts'
import { startHttpServer } from '../support/http-server.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** A running issuer that knows ada. No refresh token answers twice. */
async function startIssuer(t: Test) {
  const cwd = createTestFolder(t)
  const port = await freePort()
  const env = {
    ...serviceEnv,
    GATEPASS_ISSUER: `http://127.0.0.1:${port}`,
    GATEPASS_PORT: `${port}`,
    GATEPASS_GRACE_S: '0',
  }
  await addUser({ cwd, env })
  const service = TestProcess.start(t, ['issuer'], { cwd, env })
  await service.ready()
  return { issuer: env.GATEPASS_ISSUER, stop: () => service.stop() }
}

/** A machine of ada's. */
function openTerminal(t: Test, issuer: string) {
  const cwd = createTestFolder(t)
  const env = { GATEPASS_ISSUER: issuer, XDG_STATE_HOME: join(cwd, 'state') }
  const gatepass = (args: readonly string[], input = '') => runCommand(args, { cwd, env, input })
  const folder = join(cwd, 'state', 'gatepass')
  const path = join(folder, `${encodeURIComponent(issuer)}.json`)
  const state = () => JSON.parse(readFileSync(path, 'utf8'))
  /** Changes the file, as time or a crash would. */
  const change = (changes: object) =>
    writeFileSync(path, JSON.stringify({ ...state(), ...changes }), { mode: 0o600 })
  const expire = (changes: object = {}) => change({ expires_at_ms: Date.now() - 1000, ...changes })
  const login = () => gatepass(['login', 'ada'], password)
  /** A command in a process of its own, as several terminals run it at once. */
  const start = (args: readonly string[]) => run(t, args, { cwd, env })
  return { gatepass, start, login, folder, path, state, change, expire }
}

const { issuer, stop } = await startIssuer(t)

async function status(token: string): Promise<number> {
  const response = await fetch(`${issuer}/me`, { headers: { authorization: `Bearer ${token}` } })
  await response.body?.cancel()
  return response.status
}

t.test('login saves a session, token prints its access token, logout ends it', async (t) => {
  const { gatepass, login, folder, path, state } = openTerminal(t, issuer)
  const nobody = await gatepass(['token'])
  t.match(nobody, { code: 1, stdout: /^$/, stderr: /You are not signed in .* Run: gatepass login/ })

  const wrong = await gatepass(['login', 'ada'], 'a wrong password')
  t.match(wrong, { code: 1, stderr: /The user name or the password is wrong/ })
  t.match(await gatepass(['login'], password), { code: 1, stderr: /Give the user name/ })

  const first = await login()
  t.match(first, { code: 0, stdout: /^$/, stderr: /^Signed in as ada at http:.*\.\n$/ })
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const secret of [state().refresh_token, state().access_token, password]) {
    t.notOk(first.stderr.includes(secret))
  }

  const token = await gatepass(['token'])
  t.equal(token.code, 0)
  t.equal(await status(token.stdout.trim()), 200)
  t.equal((await gatepass(['token'])).stdout, token.stdout, 'good for a while, so not refreshed')

  t.equal((await login()).code, 0)
  t.equal(await status(token.stdout.trim()), 401, 'the session before has ended')

  const { access_token } = state()
  t.match(await gatepass(['logout']), { code: 0, stderr: /^Signed out ada at/ })
  t.equal(await status(access_token), 401)
  t.same(
    readdirSync(folder).filter((name) => !name.endsWith('.lock')),
    [],
  )
})

t.test('terminals that refresh at the same time get the same token', async (t) => {
  const { start, login, expire } = openTerminal(t, issuer)
  await login()
  const seen = new Set<string>()
  for (let round = 0; round < 2; round += 1) {
    expire()
    const all = await Promise.all([1, 2, 3].map(() => start(['token'])))
    t.same(
      all.map(({ code, stdout }) => [code, stdout]),
      all.map(() => [0, all[0]?.stdout]),
    )
    seen.add(all[0]?.stdout ?? '')
    t.equal(await status((all[0]?.stdout ?? '').trim()), 200)
  }
  t.equal(seen.size, 2)
})

t.test('a refresh with a lost response is repeated with its key', async (t) => {
  const { gatepass, login, path, state, expire } = openTerminal(t, issuer)
  const loseAnswer = (key: string) =>
    postJson(
      `${issuer}/refresh`,
      { refresh_token: state().refresh_token },
      { 'idempotency-key': key },
    )
  await login()
  t.equal((await loseAnswer('k1')).status, 200)
  expire({ idempotency_key: 'k1' })
  t.equal((await gatepass(['token'])).code, 0)
  t.equal(state().idempotency_key, null)
  expire()
  t.equal((await gatepass(['token'])).code, 0, 'and goes on as ever')

  t.equal((await loseAnswer('of somebody else')).status, 200)
  expire()
  const refused = await gatepass(['token'])
  t.match(refused, { code: 1, stdout: /^$/ })
  t.match(refused.stderr, /was used before\. You are signed out of .*\(refresh_token_reused\)/)
  t.notOk(existsSync(path), 'nothing is kept that can never work again')
})

const nobody = 65_534
const isRoot = process.getuid?.() === 0

t.test('a file of another user is refused, and a sign-in replaces it', async (t) => {
  const { gatepass, login, path, state } = openTerminal(t, issuer)
  await login()
  const text = readFileSync(path, 'utf8')
  // Only root can give a file away; anybody can point to one of root's.
  if (isRoot) chownSync(path, nobody, nobody)
  else {
    rmSync(path)
    symlinkSync('/etc/passwd', path)
  }
  for (const command of ['token', 'logout']) {
    const refused = await gatepass([command])
    t.match(refused, { code: 2, stdout: /^$/, stderr: /belongs to another user.*sign in again/ })
    t.notOk(refused.stderr.includes(JSON.parse(text).refresh_token))
  }
  t.equal((await login()).code, 0)
  t.equal(statSync(path).uid, process.getuid?.())
  t.equal((await gatepass(['token'])).stdout.trim(), state().access_token)
})

t.test('nothing is saved in a folder that other users may write to', async (t) => {
  const { login, folder } = openTerminal(t, issuer)
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o777)
  t.match(await login(), { code: 2, stderr: /Other users may write to .* chmod 700/ })
  t.same(readdirSync(folder), [])
  chmodSync(folder, 0o700)
  if (isRoot) {
    chownSync(folder, nobody, nobody)
    t.match(await login(), { code: 2, stderr: /gatepass belongs to another user/ })
    t.same(readdirSync(folder), [])
  }
})

/** The session that is saved in a folder, without a command. */
function sessionIn(folder: string) {
  const client = new IssuerClient(issuer)
  const file = new SessionFile({ env: { XDG_STATE_HOME: join(folder, '..') } }, issuer)
  const clock = new FakeClock(Date.now())
  return { client, clock, session: new SavedSession({ client, file, clock }) }
}

t.test('while a store of the issuer is unavailable, a valid token is still given', async (t) => {
  const { login, folder, path, state, change } = openTerminal(t, issuer)
  await login()
  const { client, clock, session } = sessionIn(folder)
  const expireIn = (ms: number, obtainedMs = -100_000) =>
    change({ obtained_at_ms: clock.nowMs() + obtainedMs, expires_at_ms: clock.nowMs() + ms })
  const timeoutsMs: number[] = []
  client.refresh = async (_token, _key, timeoutMs = 30_000) => {
    timeoutsMs.push(timeoutMs)
    throw new GatepassError('store_unavailable')
  }
  expireIn(10_000)
  t.equal(await session.accessToken(), state().access_token, 'a token that is good still serves')
  const [timeoutMs = 0] = timeoutsMs
  t.ok(
    Number.isInteger(timeoutMs) && timeoutMs <= 5_000,
    'also after an issuer that did not answer',
  )
  rmSync(`${path}.lock`)
  mkdirSync(`${path}.lock`)
  t.equal(await session.accessToken(), state().access_token, 'also without the lock')
  rmSync(`${path}.lock`, { recursive: true })
  chmodSync(folder, 0o777)
  await t.rejects(session.accessToken(), { code: 'config_invalid' }, 'others may write')
  chmodSync(folder, 0o700)
  expireIn(3_500)
  await session.accessToken()
  expireIn(-1_000)
  await t.rejects(session.accessToken(), { code: 'store_unavailable' })
  t.same(timeoutsMs.slice(1), [30_000, 30_000], 'a slow issuer gets its time')
  expireIn(300_000, 60_000)
  await t.rejects(session.accessToken(), { code: 'store_unavailable' }, 'the clock was set back')
  t.ok(state().refresh_token)
})

t.test('a session that cannot be saved is ended, and an ended one is forgotten', async (t) => {
  const { folder, path } = openTerminal(t, issuer)
  const { client, session } = sessionIn(folder)
  const ended: string[] = []
  client.logout = async (token) => {
    ended.push(token)
    throw new GatepassError('refresh_token_expired')
  }
  const tokens = { access_token: 'a', expires_in: 300, scope: '', session_id: 's' }
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o777)
  const saved = session.save('ada', { ...tokens, refresh_token: 'gpr_1' })
  await t.rejects(saved, { code: 'config_invalid' })
  t.same(ended, ['gpr_1'])
  chmodSync(folder, 0o700)
  for (const refresh_token of ['gpr_2', 'gpr_3'])
    await session.save('ada', { ...tokens, refresh_token })
  t.same(ended, ['gpr_1', 'gpr_2'], 'the session before ends')
  await session.logout()
  t.same(ended, ['gpr_1', 'gpr_2', 'gpr_3'])
  t.notOk(existsSync(path))
})

// The issuer is not there for what comes behind.
t.test('while the issuer is unavailable, nothing saved is lost', async (t) => {
  const { gatepass, login, path, state, change, expire } = openTerminal(t, issuer)
  await login()
  await stop()
  const { access_token } = state()
  change({ obtained_at_ms: Date.now() - 100_000, expires_at_ms: Date.now() + 10_000 })
  const still = await gatepass(['token'])
  t.equal(still.stdout, `${access_token}\n`, 'a token that is good still serves')

  const { idempotency_key } = state()
  t.match(idempotency_key, /^[\w-]{22}$/, 'the key is kept for the next attempt')
  expire()
  const away = await gatepass(['token'])
  t.match(away, {
    code: 1,
    stdout: /^$/,
    stderr: /is not reachable \(.*ECONNREFUSED.*\)\. \(issuer_una/,
  })
  t.equal(state().idempotency_key, idempotency_key)
  t.match(await gatepass(['logout']), { code: 1, stderr: /is not reachable/ })
  t.ok(state().refresh_token, 'logout can be tried again')

  chmodSync(path, 0o640)
  t.match(await gatepass(['token']), { code: 2, stderr: /Other users may read .* chmod 600/ })
  writeFileSync(path, 'gpr_half a fi')
  chmodSync(path, 0o600)
  const damaged = await gatepass(['token'])
  t.match(damaged, { code: 2, stderr: /is damaged\. Delete the file and sign in again\./ })
  t.notMatch(damaged.stderr, /gpr_/)
})

t.test('a redirect gets no password, and the file is in the state folder', async (t) => {
  const cwd = createTestFolder(t)
  const seen: string[] = []
  const tokens =
    '{"access_token":"a","expires_in":300,"scope":"","session_id":"s","refresh_token":"gpr_r"}'
  const answers: Record<string, [number, Record<string, string>, string]> = {
    '/moved/login': [307, { location: '/elsewhere' }, ''],
    '/rude/login': [400, {}, '{"code": "scope_not_allowed", "detail": "\\u001b[2Jno"}'],
    '/vague/login': [
      422,
      {},
      '{"code":"request_invalid","errors":[{"pointer":"/p","detail":"n\\to"}]}',
    ],
    '/login': [200, {}, tokens],
    '/odd/login': [200, {}, tokens.replace('"a"', '"a\\u001b[2J"')],
  }
  const { url: base } = await startHttpServer(t, (request, response) => {
    seen.push(request.url ?? '')
    const [status, headers, body] = answers[request.url ?? ''] ?? [200, {}, 'hello']
    response.writeHead(status, headers).end(body)
  })
  const login = (issuer: string, env: Record<string, string> = {}) =>
    runCommand(['login', 'ada', '--issuer', issuer], { cwd, env, input: password })

  for (const mode of ['production', 'development']) {
    const refused = await login('http://auth.example.com', { GATEPASS_MODE: mode })
    t.match(refused, { code: 2, stderr: /GATEPASS_ISSUER must be https/ }, mode)
  }
  // The settings of an issuer on the same machine.
  const shared = { GATEPASS_PORT: '4101', GATEPASS_DATA_URL: 'sqlite:data.db' }
  t.match(await login(`${base}/moved`, shared), { code: 1, stderr: /answered with status 307/ })
  const unset = { GATEPASS_ISSUER: base }
  t.match(await login('', unset), { code: 2, stderr: /The URL is empty/ })
  for (const path of ['other', 'odd'])
    t.match(await login(`${base}/${path}`), { code: 1, stderr: /did not answer like an issuer/ })
  t.match((await login(`${base}/rude`)).stderr, '\\u001b[2Jno (scope_not_allowed)')
  t.match((await login(`${base}/vague`)).stderr, /\(request_invalid\)\n {2}\/p n\\u0009o\n$/)
  t.same(seen, ['/moved/login', '/other/login', '/odd/login', '/rude/login', '/vague/login'])

  let shown = ''
  const stdin = Object.assign(new PassThrough(), { isTTY: true })
  const stderr = { write: (text: string) => (shown += text) }
  stdin.write('pass word\r')
  const context = { env: {}, cwd, stdin, stdout: stderr, stderr } as unknown as CliContext
  await t.rejects(loginCommand(context, 'ada', { issuer: `${base}/other` }))
  t.match(shown, `Password of ada at ${base}/other: `, 'the prompt says where it goes')

  t.ok(isAbsolute(new SessionFile({ env: { HOME: '' } }, base).path))
  t.equal((await login(base, { XDG_STATE_HOME: 'relative' })).code, 0)
  const name = `${encodeURIComponent(base)}.json`
  t.ok(statSync(join(cwd, '.local', 'state', 'gatepass', name)).isFile())
})
