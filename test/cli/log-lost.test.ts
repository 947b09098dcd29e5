import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { makePipe } from '../support/pipe.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { smallDisk } from '../support/small-disk.ts'
import { until } from '../support/until.ts'

const password = 'correct horse battery staple'
/** Each makes two lines at the level of debug, one with a stack. */
const refusedAtOnce = 50
/** On a busy machine. */
const patienceMs = 60_000

interface Running {
  readonly process: TestProcess
  readonly url: string
  readonly adminUrl: string
}

/** An issuer and a verifier whose log lines go to this file. */
async function startServices(t: Test, stdout: number, issuerEnv: Record<string, string> = {}) {
  const cwd = t.testdir()
  const common = {
    GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
    GATEPASS_LOG_LEVEL: 'debug',
    GATEPASS_ARGON2_MEMORY_KIB: '8',
  }
  await run(t, ['users', 'add', 'ada'], { cwd, env: common, input: password })

  async function start(role: 'issuer' | 'verifier', more: Record<string, string> = {}) {
    const [port, adminPort] = [await freePort(), await freePort()]
    const ports = { GATEPASS_PORT: String(port), GATEPASS_ADMIN_PORT: String(adminPort) }
    const process = TestProcess.start(t, [role], {
      cwd,
      stdout,
      env: { ...common, ...ports, ...more },
    })
    const adminUrl = `http://127.0.0.1:${adminPort}`
    await untilStatus(`${adminUrl}/readyz`, 200, patienceMs)
    return { process, url: `http://127.0.0.1:${port}`, adminUrl }
  }

  const issuer = await start('issuer', issuerEnv)
  const jwksUrl = `${issuer.url}/.well-known/jwks.json`
  const verifier = await start('verifier', { GATEPASS_JWKS_URL: jwksUrl })
  return { issuer, verifier }
}

async function dropped({ adminUrl }: Running): Promise<number> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(/^gatepass_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1])
}

async function untilDropping(service: Running): Promise<void> {
  const isDropping = async () => {
    const asked = Array.from({ length: refusedAtOnce }, () => fetch(`${service.url}/nowhere`))
    for (const answer of await Promise.all(asked)) await answer.body?.cancel()
    return (await dropped(service)) > 0
  }
  await until('lines are dropped', isDropping, patienceMs)
}

/** All that a service is for still works. */
async function serves(t: Test, { issuer, verifier }: Record<'issuer' | 'verifier', Running>) {
  const login = await fetch(`${issuer.url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'ada', password }),
  })
  t.equal(login.status, 200)
  const { access_token } = (await login.json()) as { access_token: string }
  const headers = { authorization: `Bearer ${access_token}` }
  t.equal((await fetch(`${verifier.url}/verify`, { headers })).status, 200)
  t.equal((await fetch(`${issuer.url}/.well-known/jwks.json`)).status, 200)
  for (const { adminUrl } of [issuer, verifier]) {
    t.equal((await fetch(`${adminUrl}/livez`)).status, 200)
  }
}

async function stops(t: Test, services: Record<'issuer' | 'verifier', Running>) {
  const { issuer, verifier } = services
  t.equal(await verifier.process.stop(), 0, verifier.process.stderr)
  t.equal(await issuer.process.stop(), 0, issuer.process.stderr)
}

t.test('with a log that is full from the start both serve, and stop', async (t) => {
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const services = await startServices(t, full)
  await serves(t, services)
  await Promise.all(Object.values(services).map(untilDropping))
  await serves(t, services)
  await stops(t, services)
})

t.test('a disk that is full for a while costs lines, and the log says how many', async (t) => {
  const disk = smallDisk(t, '4m')
  if (disk === null) return t.pass('where a file system can be mounted', { skip: true })
  const path = join(disk.folder, 'log')
  const log = openSync(path, 'a')
  const services = await startServices(t, log)
  closeSync(log)
  await serves(t, services)
  const { issuer } = services
  disk.fill(issuer.process.pid)
  await untilDropping(issuer)
  await serves(t, services)

  disk.free(issuer.process.pid)
  const told = () =>
    /"service":"issuer".*"dropped":(\d+).*log lines/.exec(readFileSync(path, 'utf8'))
  await until('the log goes on', () => told() !== null)
  t.equal(Number(told()?.[1]), await dropped(issuer))
  await stops(t, services)
  t.match(readFileSync(path, 'utf8'), /"service":"issuer".*"msg":"stopped"/)
})

t.test('a pipe that nobody reads stops neither, though many processes share it', async (t) => {
  const services = await startServices(t, makePipe(t).writer, { GATEPASS_WORKERS: '2' })
  await Promise.all(Object.values(services).map(untilDropping))
  await serves(t, services)
  await stops(t, services)
})

t.test('nor does a pipe that is closed', async (t) => {
  const { writer, closeReader } = makePipe(t)
  const services = await startServices(t, writer)
  closeReader()
  await Promise.all(Object.values(services).map(untilDropping))
  await serves(t, services)
  await stops(t, services)
})
