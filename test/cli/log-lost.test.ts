import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { makePipe } from '../support/pipe.ts'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { smallDisk } from '../support/small-disk.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { bearer } from '../support/tokens.ts'
import { until } from '../support/until.ts'

/** Each makes two lines at the level of debug, one with a stack. */
const refusedAtOnce = 50

interface Running {
  readonly process: TestProcess
  readonly url: string
  readonly adminUrl: string
}

const cwd = createTestFolder(t)
const common = { ...serviceEnv, GATEPASS_LOG_LEVEL: 'debug' }
await addUser({ cwd, env: common })

/** An issuer and a verifier whose log lines go to this file. */
async function startServices(t: Test, stdout: number, issuerEnv: Record<string, string> = {}) {
  async function start(role: 'issuer' | 'verifier', more: Record<string, string> = {}) {
    const [port, adminPort] = [await freePort(), await freePort()]
    const ports = { GATEPASS_PORT: String(port), GATEPASS_ADMIN_PORT: String(adminPort) }
    const process = TestProcess.start(t, [role], {
      cwd,
      stdout,
      env: { ...common, ...ports, ...more },
    })
    const adminUrl = `http://127.0.0.1:${adminPort}`
    const ended = process.exited.then((code) => {
      throw new Error(`It ended with ${code}: ${process.stderr}`)
    })
    await Promise.race([untilStatus(`${adminUrl}/readyz`, 200), ended])
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
  await until('lines are dropped', isDropping)
}

/** All that a service is for still works. */
async function serves(t: Test, { issuer, verifier }: Record<'issuer' | 'verifier', Running>) {
  const { access_token } = await signIn(issuer.url)
  const headers = bearer(access_token)
  t.equal((await fetch(`${verifier.url}/verify`, { headers })).status, 200)
  t.equal((await fetch(`${issuer.url}/.well-known/jwks.json`)).status, 200)
  for (const { adminUrl } of [issuer, verifier]) {
    t.equal((await fetch(`${adminUrl}/livez`)).status, 200)
  }
}

t.test('both services run and stop with a full log', async (t) => {
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const services = await startServices(t, full)
  await untilDropping(services.issuer)
  await serves(t, services)
  for (const { process } of Object.values(services))
    t.equal(await process.stop(), 0, process.stderr)
})

t.test('after a full disk, the log says how many lines were dropped', async (t) => {
  const disk = smallDisk(t, '4m')
  if (disk === null) return t.pass('where a file system can be mounted', { skip: true })
  const path = join(disk.folder, 'log')
  const log = openSync(path, 'a')
  const services = await startServices(t, log)
  closeSync(log)
  const { issuer } = services
  disk.fill(issuer.process.pid)
  await untilDropping(issuer)
  await serves(t, services)

  disk.free(issuer.process.pid)
  const told = () =>
    /"service":"issuer".*"dropped":(\d+).*log lines/.exec(readFileSync(path, 'utf8'))
  await until('the log goes on', () => told() !== null)
  t.equal(Number(told()?.[1]), await dropped(issuer))
  t.equal(await issuer.process.stop(), 0, issuer.process.stderr)
  t.match(readFileSync(path, 'utf8'), /"service":"issuer".*"msg":"stopped"/)
})

t.test('an unread or closed pipe stops neither service', async (t) => {
  const { writer, closeReader } = makePipe(t)
  // Many processes share it then.
  const services = await startServices(t, writer, { GATEPASS_WORKERS: '2' })
  const { issuer, verifier } = services
  await untilDropping(issuer)
  await serves(t, services)
  t.equal(await verifier.process.stop(), 0, verifier.process.stderr)

  closeReader()
  const before = await dropped(issuer)
  await fetch(`${issuer.url}/nowhere`)
  await until('each line is lost', async () => (await dropped(issuer)) > before)
  t.equal((await fetch(`${issuer.url}/.well-known/jwks.json`)).status, 200)
  t.equal(await issuer.process.stop(), 0, issuer.process.stderr)
})
