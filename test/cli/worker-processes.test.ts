import t, { type Test } from 'tap'
import { run, TestProcess, untilStatus } from '../support/processes.ts'

const env = {
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
  GATEPASS_WORKERS: '2',
}
const password = 'correct horse battery staple'

async function startIssuer(t: Test, cwd: string, more: Record<string, string> = {}) {
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...more } })
  await issuer.line(/"adminPort":[1-9]\d*,.*"msg":"ready"/)
  const lines = issuer.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const ready = lines.filter(({ msg }) => msg === 'ready')
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
    // A connection for each request, so that they spread over the workers.
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ username: 'ada', password }),
  })
}

t.test('several processes answer on one port, and the admin port speaks for all', async (t) => {
  const cwd = t.testdir()
  await run(t, ['users', 'add', 'ada'], { cwd, env, input: password })
  const { issuer, url, admin, workers } = await startIssuer(t, cwd)
  t.equal(workers.length, 2)
  const answers = await Promise.all(Array.from({ length: 8 }, () => login(url)))
  t.same([...new Set(answers.map(({ status }) => status))], [200])

  const served = issuer.stdout.match(/"pid":(\d+)(?=.*"event":"login\.ok")/g)
  t.equal(new Set(served).size, 2, 'both have served')
  const metrics = await (await fetch(`${admin}/metrics`)).text()
  t.match(metrics, /gatepass_events_total\{event="login\.ok"\} 8/)
  const ready = await fetch(`${admin}/readyz`)
  t.match(await ready.json(), { status: 'ok', checks: { workers: 'ok', sessions: 'ok' } })
  t.equal(await issuer.stop(), 0)
  t.equal(issuer.stdout.match(/"msg":"stopped"/g)?.length, 3)
})

t.test('a worker that dies is replaced', async (t) => {
  const { issuer, url, admin, workers } = await startIssuer(t, t.testdir())
  process.kill(workers[0] ?? 0, 'SIGKILL')
  await issuer.line(/a worker exited; replacing it/)
  t.equal((await fetch(`${url}/.well-known/jwks.json`)).status, 200)
  await issuer.line(new RegExp(`"pid":(?!${workers.join('|')})\\d+.*"adminPort":0.*"msg":"ready"`))
  await untilStatus(`${admin}/readyz`, 200)
  t.equal(await issuer.stop(), 0)
})

t.test('the workers drain once, and the whole ends within the time it has', async (t) => {
  const more = { GATEPASS_DRAIN_S: '2', GATEPASS_SHUTDOWN_S: '1' }
  const { issuer, admin } = await startIssuer(t, t.testdir(), more)
  const exited = issuer.stop()
  await untilStatus(`${admin}/readyz`, 503)
  t.equal(await exited, 0)
  t.equal(issuer.stdout.match(/"msg":"stopped"/g)?.length, 3)
})

t.test('workers do not outlive a primary that was killed', async (t) => {
  const { issuer, workers } = await startIssuer(t, t.testdir())
  await issuer.stop('SIGKILL')
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  while (workers.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 10))
  t.pass('they have ended')
})

t.test('a port in use ends all, with its plain sentence', async (t) => {
  const cwd = t.testdir()
  const { url, issuer } = await startIssuer(t, cwd)
  const { port } = new URL(url)
  const second = await run(t, ['issuer'], { cwd, env: { ...env, GATEPASS_PORT: port } })
  t.equal(second.code, 1)
  t.match(second.stderr, `Port ${port} is in use by another program`)
  t.equal(await issuer.stop(), 0)
})
