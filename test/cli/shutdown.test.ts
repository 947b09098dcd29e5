import { once } from 'node:events'
import { truncateSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { password } from '../support/accounts.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { projectFolder } from '../support/project.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { bearer } from '../support/tokens.ts'

async function startIssuer(t: Test, cwd: string, more: Record<string, string> = {}) {
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...serviceEnv, ...more } })
  const { port, url, adminUrl: admin } = await issuer.ready()
  return { issuer, port, url, admin }
}

t.test(
  'SIGTERM: readiness turns to 503, requests in progress finish, then exit code 0',
  async (t) => {
    // On a busy machine the hash of a password may take longer than the default.
    const timeout = { GATEPASS_SHUTDOWN_S: '120' }
    const { issuer, url, admin, port } = await startIssuer(t, createTestFolder(t), timeout)
    await untilStatus(`${admin}/readyz`, 200)
    const openedAt = (at: string) => issuer.stdout.indexOf(`Server listening at ${at}`)
    t.ok(openedAt(url) < openedAt(admin), 'it is ready when it listens')
    // A request that has begun: its last byte comes after the signal.
    const socket = connect(port, '127.0.0.1')
    const body = JSON.stringify({ username: 'nobody', password })
    socket.write(
      `POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`,
    )
    await new Promise(setImmediate)
    const exited = issuer.stop('SIGTERM')
    await untilStatus(`${admin}/readyz`, 503)
    socket.write(body.slice(-1))
    const [answer] = await once(socket, 'data')
    t.match(String(answer), /^HTTP\/1\.1 401 /)
    t.equal(await exited, 0)
    t.match(issuer.stdout, /"msg":"stopped"/)
  },
)

t.test('npm passes SIGTERM on, so that no service outlives it', async (t) => {
  const folder = createTestFolder(t)
  const issuer = TestProcess.start(t, ['--prefix', projectFolder, 'run', 'gatepass', 'issuer'], {
    command: ['npm'],
    cwd: folder,
    env: {
      ...serviceEnv,
      HOME: folder,
      GATEPASS_ACCOUNTS_URL: `sqlite:${folder}/accounts.db`,
      GATEPASS_SESSIONS_URL: `sqlite:${folder}/sessions.db`,
      GATEPASS_KEYS_URL: `file:${folder}/keys`,
      GATEPASS_DRAIN_S: '0',
    },
  })
  await issuer.ready()
  // systemd signals both processes.
  const [, pid] = /"pid":(\d+)/.exec(issuer.stdout) ?? []
  process.kill(Number(pid), 'SIGTERM')
  await issuer.stop('SIGTERM')
  t.match(issuer.stdout, /"msg":"stopped"/)
})

t.test('a signal that npm repeats counts once', async (t) => {
  const module = JSON.stringify(import.meta.resolve('../../src/cli/shutdown.ts'))
  const program = `
    const { onStopSignal } = await import(${module})
    const remove = onStopSignal((signal) => console.log(signal))
    for (const signal of ['SIGINT', 'SIGINT', 'SIGTERM', 'SIGTERM']) process.emit(signal)
    remove()`
  const args = ['--input-type=module', '-e', program]
  const { stdout } = await run(t, args, { command: [process.execPath], cwd: createTestFolder(t) })
  t.equal(stdout, 'SIGINT\nSIGTERM\n')
})

t.test('SIGINT stops a service like SIGTERM', async (t) => {
  const { issuer } = await startIssuer(t, createTestFolder(t))
  t.equal(await issuer.stop('SIGINT'), 0)
  t.match(issuer.stdout, /"signal":"SIGINT","msg":"stopping"/)
})

t.test('a second signal exits at once', async (t) => {
  const { issuer, admin } = await startIssuer(t, createTestFolder(t), { GATEPASS_DRAIN_S: '60' })
  issuer.stop('SIGTERM')
  await untilStatus(`${admin}/readyz`, 503)
  t.equal(await issuer.stop('SIGINT'), 1)
  t.match(issuer.stdout, /"msg":"second SIGINT, exiting"/)
})

t.test('a request that never ends delays the exit at most until the timeout', async (t) => {
  const { issuer, port } = await startIssuer(t, createTestFolder(t), { GATEPASS_SHUTDOWN_S: '1' })
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(
    'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Type: application/json\r\n\r\n',
  )
  await once(socket, 'connect')
  t.equal(await issuer.stop('SIGTERM'), 1)
  t.match(
    issuer.stdout,
    /"level":"error".*"connections":1,"requests":\["POST \/login"\].*timed out/,
  )
})

t.test('a fault in native code ends the process', async (t) => {
  const cwd = createTestFolder(t)
  const { issuer, url } = await startIssuer(t, cwd)
  // Reading the removed part of a mapped file is a SIGBUS.
  truncateSync(join(cwd, '.gatepass/sessions.db-shm'))
  await signIn(url).catch(() => {})
  t.equal(await issuer.exited, 'SIGBUS')
})

t.test('metrics and health are on the admin port, and only there', async (t) => {
  const { url, admin } = await startIssuer(t, createTestFolder(t))
  await postJson(`${url}/login`, { username: 'nobody', password })
  const metrics = await (await fetch(`${admin}/metrics`)).text()
  t.match(metrics, /gatepass_events_total\{event="login\.failed"\} 1/)
  t.match(
    metrics,
    /gatepass_http_request_duration_seconds_count\{method="POST",route="\/login",status="401"\} 1/,
  )
  t.match(metrics, /process_resident_memory_bytes/)
  t.equal((await fetch(`${admin}/livez`)).status, 200)
  for (const path of ['/metrics', '/livez', '/readyz']) {
    t.equal((await fetch(`${url}${path}`)).status, 404)
  }
})

t.test('a verifier without an issuer starts, answers 503 and recovers', async (t) => {
  const cwd = createTestFolder(t)
  const at = { GATEPASS_PORT: String(await freePort()) }
  const { issuer, url } = await startIssuer(t, cwd, at)
  await addUser({ cwd, env: serviceEnv })
  const { access_token } = await signIn(url)
  await issuer.stop()
  const verifier = TestProcess.start(t, ['verifier'], {
    cwd,
    env: { ...serviceEnv, GATEPASS_JWKS_URL: `${url}/.well-known/jwks.json` },
  })
  const { url: verifierUrl, adminUrl } = await verifier.ready()
  const verify = () => fetch(`${verifierUrl}/verify`, { headers: bearer(access_token) })
  const refused = await verify()
  t.equal(refused.status, 503)
  t.match(await refused.json(), { code: 'keys_unavailable' })
  t.ok(refused.headers.get('retry-after'))
  await untilStatus(`${adminUrl}/readyz`, 503)

  await startIssuer(t, cwd, at)
  await untilStatus(`${adminUrl}/readyz`, 200)
  t.equal((await verify()).status, 200)
})
