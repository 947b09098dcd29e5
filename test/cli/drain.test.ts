import t, { type Test } from 'tap'
import { password } from '../support/accounts.ts'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** Longer than the test. */
const drain = { GATEPASS_DRAIN_S: '60' }
const jwksPath = '/.well-known/jwks.json'
const jwks = `GET ${jwksPath} HTTP/1.1\r\nHost: x\r\n\r\n`

async function start(t: Test, role: string, cwd: string, more: Record<string, string> = {}) {
  const process = TestProcess.start(t, [role], { cwd, env: { ...serviceEnv, ...more } })
  const { port, url, adminUrl } = await process.ready()
  const readyUrl = `${adminUrl}/readyz`
  await untilStatus(readyUrl, 200)
  return { process, port, url, readyUrl }
}

function postOf(path: string, body: object): string {
  const text = JSON.stringify(body)
  const headers = `Content-Type: application/json\r\nContent-Length: ${text.length}`
  return `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${text}`
}

t.test('while draining, each request is answered and closes its connection', async (t) => {
  const cwd = createTestFolder(t)
  await addUser({ cwd, env: serviceEnv })
  const issuer = await start(t, 'issuer', cwd, drain)
  const jwksUrl = { GATEPASS_JWKS_URL: `${issuer.url}${jwksPath}` }
  const verifier = await start(t, 'verifier', cwd, { ...drain, ...jwksUrl })
  const { access_token, refresh_token } = await signIn(issuer.url)
  const verify = `GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${access_token}\r\n\r\n`
  const refresh = postOf('/refresh', { refresh_token })
  const calls = [
    { port: issuer.port, request: jwks },
    { port: issuer.port, request: refresh },
    { port: issuer.port, request: postOf('/login', { username: 'ada', password }) },
    { port: verifier.port, request: verify },
  ].map((call) => ({ ...call, client: new RawClient(t, call.port) }))
  // Each connection is kept, and has been used.
  for (const { client, request } of calls) {
    const answer = await client.ask(request)
    t.match(answer, /^HTTP\/1\.1 200 /)
    t.notMatch(answer, /^connection: close/im)
  }

  for (const { process, readyUrl } of [issuer, verifier]) {
    process.stop()
    await untilStatus(readyUrl, 503)
    const body = await (await fetch(readyUrl)).json()
    t.strictSame(body, { status: 'unavailable', checks: { process: 'shutting_down' } })
  }
  for (const { client, request, port } of calls) {
    for (const one of [client, new RawClient(t, port)]) {
      const answer = await one.ask(request)
      t.match(answer, /^HTTP\/1\.1 200 /)
      t.match(answer, /^connection: close/im)
      await one.closed
    }
  }
})

t.test('idle connections do not delay the shutdown', async (t) => {
  const { process, port } = await start(t, 'issuer', createTestFolder(t))
  const [used, silent] = [new RawClient(t, port), new RawClient(t, port)]
  await used.ask(jwks)
  await silent.connected
  // By then both have been accepted.
  await new RawClient(t, port).ask(jwks)
  t.equal(await process.stop(), 0)
  t.match(process.stdout, /"msg":"stopped"/)
})
