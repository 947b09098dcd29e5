import t from 'tap'
import { password } from '../support/accounts.ts'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

t.test('an issuer without file descriptors serves again when it has some', async (t) => {
  const options = { cwd: createTestFolder(t), env: serviceEnv }
  await addUser(options)
  const issuer = TestProcess.start(t, ['issuer'], options)
  const { port, adminUrl } = await issuer.ready()
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
  await untilStatus(`${adminUrl}/readyz`, 200)
  t.equal(await issuer.stop(), 0)
})
