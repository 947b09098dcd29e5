import t, { type Test } from 'tap'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const env = {
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
  GATEPASS_WORKERS: '2',
}
const password = 'correct horse battery staple'

async function startIssuer(t: Test, cwd: string, more: Record<string, string> = {}) {
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...more } })
  const readyLines = () => issuer.stdout.match(/^.*"msg":"ready".*$/gm) ?? []
  // Each process writes its own lines, in no order between them.
  await until('all processes are ready', () => readyLines().length === 3)
  const ready = readyLines().map((line) => JSON.parse(line))
  const primary = ready.find(({ adminPort }) => adminPort > 0)
  return {
    issuer,
    url: `http://127.0.0.1:${primary.port}`,
    admin: `http://127.0.0.1:${primary.adminPort}`,
    workers: ready.filter(({ adminPort }) => adminPort === 0).map(({ pid }) => pid as number),
  }
}

function login(url: string) {
  return fetch(`${url}/login`, {
    method: 'POST',
    // A new connection for each request, so that the requests spread over the workers.
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ username: 'ada', password }),
  })
}

t.test('several workers serve one port, and the admin port reports on all of them', async (t) => {
  const cwd = createTestFolder(t)
  await run(t, ['users', 'add', 'ada'], { cwd, env, input: password })
  const { issuer, url, admin, workers } = await startIssuer(t, cwd)
  t.equal(workers.length, 2)
  let logins = 0
  await until('both workers have served', async () => {
    t.equal((await login(url)).status, 200)
    logins += 1
    const served = issuer.stdout.match(/"pid":(\d+)(?=.*"event":"login\.ok")/g)
    return new Set(served).size === 2
  })
  // A worker that is slow to report is missing in a response.
  const sum = `gatepass_events_total{event="login.ok"} ${logins}\n`
  const metrics = async () => (await fetch(`${admin}/metrics`)).text()
  await until('the metrics are those of both', async () => (await metrics()).includes(sum))
  await untilStatus(`${admin}/readyz`, 200)
  const ready = await fetch(`${admin}/readyz`)
  t.match(await ready.json(), { checks: { workers: String, sessions: String } })
  t.equal(await issuer.stop(), 0)
  t.equal(issuer.stdout.match(/"msg":"stopped"/g)?.length, 3)
})

t.test('a worker that exits is replaced', async (t) => {
  const { issuer, url, admin, workers } = await startIssuer(t, createTestFolder(t))
  process.kill(workers[0] ?? 0, 'SIGKILL')
  await issuer.line(/a worker exited; replacing it/)
  t.equal((await fetch(`${url}/.well-known/jwks.json`)).status, 200)
  await issuer.line(new RegExp(`"pid":(?!${workers.join('|')})\\d+.*"adminPort":0.*"msg":"ready"`))
  await untilStatus(`${admin}/readyz`, 200)
  t.equal(await issuer.stop(), 0)
})

t.test('each worker drains once, and all processes exit in time', async (t) => {
  const more = { GATEPASS_DRAIN_S: '1', GATEPASS_SHUTDOWN_S: '60' }
  const { issuer } = await startIssuer(t, createTestFolder(t), more)
  t.equal(await issuer.stop(), 0)
  t.equal(issuer.stdout.match(/"msg":"stopping"/g)?.length, 3)
  t.equal(issuer.stdout.match(/"msg":"stopped"/g)?.length, 3)
})

t.test('workers exit when the primary process is killed', async (t) => {
  const { issuer, workers } = await startIssuer(t, createTestFolder(t))
  await issuer.stop('SIGKILL')
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  await until('the workers have exited', () => !workers.some(isAlive))
})

t.test('with a busy port all processes exit, with a message', async (t) => {
  const cwd = createTestFolder(t)
  const { url, issuer } = await startIssuer(t, cwd)
  const { port } = new URL(url)
  const second = await run(t, ['issuer'], { cwd, env: { ...env, GATEPASS_PORT: port } })
  t.equal(second.code, 1)
  t.match(second.stderr, `Port ${port} is in use by another program`)
  t.equal(await issuer.stop(), 0)
})
