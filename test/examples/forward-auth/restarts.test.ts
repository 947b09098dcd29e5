import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { TestProcess } from '../../support/processes.ts'
import { Client, callerOf, Replica, restartUnder } from '../../support/restarts.ts'
import { addUser, serviceEnv, signIn } from '../../support/services.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { caddy } from './caddy.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import { hostOf, startApplication } from './servers.ts'
import { startExample } from './start.ts'

const clientsPerProxy = 4

const common = {
  ...serviceEnv,
  // The default of the service.
  GATEPASS_DRAIN_S: undefined,
}

/** Starts an issuer. Returns its URL, and the Authorization header of a user. */
async function startIssuer(t: Test, cwd: string) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const env = { ...common, GATEPASS_PORT: String(port), GATEPASS_ISSUER: url }
  await addUser({ cwd, env })
  await TestProcess.start(t, ['issuer'], { cwd, env }).ready()
  const { access_token } = await signIn(url)
  return { url, authorization: `Bearer ${access_token}` }
}

/** Clients that ask for a guarded path. */
function startClients(t: Test, port: number, authorization: string): Client[] {
  return Array.from({ length: clientsPerProxy }, () => {
    const call = callerOf(t, port)
    return new Client(() => call({ path: '/orders/7', headers: { authorization } }))
  })
}

t.test('no request fails while verifiers restart one after the other', async (t) => {
  const cwd = createTestFolder(t)
  const issuer = await startIssuer(t, cwd)
  const verifiers = { port: await freePort(), adminPort: await freePort() }
  const replicas = [0, 1].map((replica) => {
    const env = {
      ...common,
      GATEPASS_HOST: hostOf(replica),
      GATEPASS_PORT: String(verifiers.port),
      GATEPASS_ADMIN_PORT: String(verifiers.adminPort),
      GATEPASS_ISSUER: issuer.url,
    }
    const start = () => TestProcess.start(t, ['verifier'], { cwd, env })
    return new Replica(start, `http://${hostOf(replica)}:${verifiers.adminPort}/readyz`)
  })
  await Promise.all(replicas.map((replica) => replica.ready()))

  const application = await startApplication(t)
  const clients: Record<string, Client[]> = {}
  for (const [name, proxy] of Object.entries({ nginx, haproxy, caddy })) {
    const { port } = await startExample(t, proxy, { verifiers, application })
    clients[name] = startClients(t, port, issuer.authorization)
  }
  await restartUnder(t, Object.values(clients).flat(), replicas)
  for (const [name, own] of Object.entries(clients)) {
    const count = own.reduce((sum, { answers }) => sum + answers, 0)
    t.same(
      own.flatMap(({ failures }) => failures),
      [],
      `${name}: ${count} requests`,
    )
  }
})
