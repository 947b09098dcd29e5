import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { Client, callerOf, Replica, restartUnder } from '../support/restarts.ts'
import { serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { ownServices, startNginx } from './compose.ts'

const clientCount = 8
const hosts = ['127.0.1.1', '127.0.1.2']
const jwksPath = '/.well-known/jwks.json'

/**
 * A client that fetches the keys and posts a refresh token that is refused without a call to a store. A
 * slow store on a busy machine does not disturb it.
 */
function startClient(t: Test, port: number): Client {
  const call = callerOf(t, port)
  let isRefresh = false
  return new Client(async () => {
    isRefresh = !isRefresh
    if (!isRefresh) return call({ path: jwksPath })
    const headers = { 'content-type': 'application/json' }
    const status = await call({ path: '/refresh', headers, body: '{"refresh_token":"gpr_x.0.y"}' })
    return status === 401 ? 200 : status
  })
}

t.test('issuers restart one after the other, and no request fails', async (t) => {
  const folder = createTestFolder(t)
  const [publicPort, port, adminPort] = [await freePort(), await freePort(), await freePort()]
  const env = {
    ...serviceEnv,
    GATEPASS_PORT: String(port),
    GATEPASS_ADMIN_PORT: String(adminPort),
    // The default.
    GATEPASS_DRAIN_S: undefined,
  }
  const replicas = hosts.map((host) => {
    const start = () =>
      TestProcess.start(t, ['issuer'], { cwd: folder, env: { ...env, GATEPASS_HOST: host } })
    return new Replica(start, `http://${host}:${adminPort}/readyz`)
  })
  await Promise.all(replicas.map((replica) => replica.ready()))

  const issuers = ownServices.filter(({ role }) => role === 'issuer')
  const verifiers = ownServices.filter(({ role }) => role === 'verifier')
  startNginx(t, folder, {
    'listen 8080': `listen 127.0.0.1:${publicPort}`,
    'listen 127.0.0.1:8081': `listen 127.0.0.1:${await freePort()}`,
    ...Object.fromEntries(issuers.map(({ address }, n) => [address, `${hosts[n]}:${port}`])),
    // Nobody asks for them.
    ...Object.fromEntries(verifiers.map(({ address }) => [address, '127.0.0.1:9'])),
  })
  await untilStatus(`http://localhost:${publicPort}${jwksPath}`, 200)
  const clients = Array.from({ length: clientCount }, () => startClient(t, publicPort))
  await restartUnder(t, clients, replicas)
  const count = clients.reduce((sum, { answers }) => sum + answers, 0)
  const failures = clients.flatMap(({ failures }) => failures)
  t.same(failures, [], `${count} requests`)
})
