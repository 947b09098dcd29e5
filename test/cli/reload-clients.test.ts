import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isSecretHash } from '../../src/oauth/client-secret.ts'
import { runCommand } from '../support/commands.ts'
import { TestProcess } from '../support/processes.ts'
import { serviceEnv } from '../support/services.ts'
import { startTcpServer } from '../support/tcp-server.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

interface ClientSecret {
  readonly secret: string
  readonly hash: string
}

async function makeSecret(t: Test): Promise<ClientSecret> {
  const { code, stdout } = await runCommand(['clients', 'secret'], { cwd: createTestFolder(t) })
  t.equal(code, 0)
  return JSON.parse(stdout)
}

/** An issuer whose settings file a test can change. */
async function startIssuer(t: Test, more: Readonly<Record<string, string>> = {}) {
  const cwd = createTestFolder(t)
  const configure = (client_id: string, { hash }: Pick<ClientSecret, 'hash'>) => {
    const client = {
      client_id,
      scopes: {},
      auth_method: 'client_secret_post',
      secret_hashes: [hash],
      grants: ['client_credentials'],
    }
    writeFileSync(join(cwd, 'gatepass.json'), JSON.stringify({ clients: [client] }))
  }
  const start = async () => {
    const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...serviceEnv, ...more } })
    const { url } = await issuer.ready()
    const status = async (client_id: string, { secret }: ClientSecret) => {
      const response = await fetch(`${url}/oauth/token`, {
        method: 'POST',
        // A connection of its own: any of the worker processes may answer.
        headers: { connection: 'close' },
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_id,
          client_secret: secret,
        }),
      })
      await response.body?.cancel()
      return response.status
    }
    return { issuer, status }
  }
  const unconfigure = () => rmSync(join(cwd, 'gatepass.json'))
  return { configure, unconfigure, start }
}

t.test('`gatepass clients secret` prints a secret and its hash', async (t) => {
  const { secret, hash, ...rest } = await makeSecret(t)
  t.match(secret, /^gps_[\w-]{43}$/)
  t.ok(isSecretHash(hash))
  t.same(rest, {})
})

t.test('SIGHUP reloads the clients; invalid ones change nothing', async (t) => {
  const [one, two] = [await makeSecret(t), await makeSecret(t)]
  const { configure, unconfigure, start } = await startIssuer(t)
  const { issuer, status } = await start()
  t.equal(await status('first', one), 401, 'it starts with the default clients')
  configure('first', one)
  process.kill(issuer.pid, 'SIGHUP')
  await issuer.line(/"clients":1,"msg":"clients were reloaded"/)
  t.equal(await status('first', one), 200)

  configure('invalid', { hash: 'no hash' })
  process.kill(issuer.pid, 'SIGHUP')
  const refusal = JSON.parse(await issuer.line(/clients were not reloaded/))
  t.match(refusal, { level: 'error', code: 'config_invalid' })
  t.match(refusal.problems, [{ pointer: /secret_hashes/, detail: /must be a hash/ }])
  t.equal(await status('first', one), 200)

  unconfigure()
  process.kill(issuer.pid, 'SIGHUP')
  await issuer.line(/GATEPASS_CLIENTS","detail":"was set, and is missing/)
  t.equal(await status('first', one), 200, 'the default clients do not replace it')

  configure('second', two)
  process.kill(issuer.pid, 'SIGHUP')
  await until('the second list counts', async () => (await status('second', two)) === 200)
  t.equal(await status('first', one), 401)
  t.equal(await issuer.stop(), 0)
})

t.test('every worker process reloads', async (t) => {
  const [one, two] = [await makeSecret(t), await makeSecret(t)]
  const { configure, start } = await startIssuer(t, { GATEPASS_WORKERS: '2' })
  configure('first', one)
  const { issuer, status } = await start()
  t.equal(await status('first', one), 200)
  configure('second', two)
  process.kill(issuer.pid, 'SIGHUP')
  const line = await issuer.line(/clients were reloaded/)
  const { pid } = JSON.parse(line)
  await issuer.line(new RegExp(`^(?!.*"pid":${pid}\\b).*clients were reloaded`))
  for (let count = 0; count < 6; count += 1) t.equal(await status('second', two), 200)
  t.equal(await issuer.stop(), 0)
})

t.test('during the start SIGHUP waits, and SIGTERM ends the process', async (t) => {
  const { port, server: silent } = await startTcpServer(t)
  const accounts = { GATEPASS_ACCOUNTS_URL: `postgres://ada@127.0.0.1:${port}/ada?sslmode=disable` }
  const start = async () => {
    const cwd = createTestFolder(t)
    const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...serviceEnv, ...accounts } })
    const [connection] = (await once(silent, 'connection')) as [Socket]
    return { issuer, connection }
  }
  const stopped = await start()
  // Without a handler the signal would end this process too, but not the first one of a container.
  t.equal(await stopped.issuer.stop('SIGTERM'), 0)

  const { issuer, connection } = await start()
  const ended = issuer.stop('SIGHUP')
  connection.destroy()
  silent.close()
  t.equal(await ended, 1)
  t.match(issuer.stderr, /store_unavailable/)
})
