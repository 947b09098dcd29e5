import t from 'tap'
import { runCommand } from '../support/commands.ts'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { createTestFolder } from '../support/test-folder.ts'

const password = 'correct horse battery staple'
const env = {
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
}

t.test('an issuer without file descriptors serves again when it has some', async (t) => {
  const cwd = createTestFolder(t)
  await runCommand(['users', 'add', 'ada'], { cwd, env, input: password })
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
  const { port, adminPort } = await issuer.ready()
  const client = new RawClient(t, port)
  await client.ask('GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n')
  // The client keeps the connection that it has.
  issuer.limitFiles(3)
  const body = JSON.stringify({ username: 'ada', password })
  const login = `POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  // A login starts a process for its hash.
  t.match(await client.ask(login), /^HTTP\/1\.1 503 /)
  t.match(await client.ask(login), /^HTTP\/1\.1 503 /)
  issuer.limitFiles(1024)
  t.match(await client.ask(login), /^HTTP\/1\.1 200 /)
  await untilStatus(`http://127.0.0.1:${adminPort}/readyz`, 200)
  t.equal(await issuer.stop(), 0)
})
