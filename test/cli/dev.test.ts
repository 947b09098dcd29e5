import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isFree } from '../../scripts/free-port.ts'
import { readOrCreateSecret, runDev } from '../../src/cli/commands/dev.ts'
import type { CliContext } from '../../src/cli/context.ts'
import { freeBasePort, pidOf, startDev } from '../support/dev.ts'
import { postJson } from '../support/post-json.ts'
import { run } from '../support/processes.ts'
import { signIn } from '../support/services.ts'
import { startTcpServer } from '../support/tcp-server.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

t.test('in one folder, `gatepass dev` starts, stops and starts again', async (t) => {
  const cwd = createTestFolder(t)
  const port = await freeBasePort()
  const first = await startDev(t, { cwd, port })
  const { issuer, password } = first
  const verifiers = [port + 100, port + 200]
  const post = (path: string, refresh_token: string) =>
    postJson(`${issuer}${path}`, { refresh_token })

  await t.test('sign in once, verified on two replicas, refreshed, signed out', async (t) => {
    const { access_token, refresh_token } = await signIn(issuer, { username: 'demo', password })
    const headers = { authorization: `Bearer ${access_token}` }
    for (const verifier of verifiers) {
      const address = `http://localhost:${verifier}/verify`
      const verified = await fetch(`${address}?scope=data:read`, { headers })
      t.equal(verified.status, 200)
      t.match(verified.headers.get('x-auth-scope'), 'data:read data:write')
      const refused = await fetch(`${address}?scope=admin`, { headers })
      t.equal(refused.status, 403)
      t.match(refused.headers.get('www-authenticate'), /insufficient_scope/)
      const ready = await fetch(`http://localhost:${verifier + 1}/readyz`)
      t.equal(ready.status, 200)
    }
    const written = await fetch(`http://localhost:${port + 100}/data/session/cart`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '["shirt"]',
    })
    t.equal(written.status, 201)
    const read = await fetch(`http://localhost:${port + 200}/data/session/cart`, { headers })
    t.same(await read.json(), ['shirt'], 'the other replica has the cart')
    t.equal((await post('/refresh', refresh_token)).status, 200)
    t.equal((await post('/logout', refresh_token)).status, 204)
    t.equal((await post('/refresh', refresh_token)).status, 401)
    for (const verifier of verifiers) {
      const isRefused = async () => {
        const response = await fetch(`http://localhost:${verifier}/verify`, { headers })
        return response.status === 401
      }
      await until('the access token has ended too', isRefused)
    }
    // The lines to paste name this installation's addresses and password.
    t.match(first.dev.stdout, `"username":"demo","password":"${password}"`)
    t.match(first.dev.stdout, `${issuer}/refresh`)
  })

  const { access_token, refresh_token } = await signIn(issuer, { username: 'demo', password })
  const jwks = await (await fetch(`${issuer}/.well-known/jwks.json`)).text()

  await t.test('Ctrl-C stops it', async (t) => {
    t.equal(await first.dev.stop('SIGINT'), 0)
    t.match(first.dev.stdout, /Stopped\./)
  })

  await t.test('the state folder is readable by its owner only', async (t) => {
    const mode = (path: string) => statSync(join(cwd, path)).mode & 0o077
    for (const path of ['secret', 'demo-password', 'accounts.db', 'sessions.db', 'issuer.log']) {
      t.equal(mode(`.gatepass/${path}`), 0, path)
    }
    t.equal(mode('.gatepass'), 0)
    t.notOk(existsSync(join(cwd, 'keys')), 'the keys of the trial are there too')
    t.ok(existsSync(join(cwd, '.gatepass/keys')))
    t.equal(readFileSync(join(cwd, '.gatepass/secret'), 'utf8').trim().length, 43)
  })

  const second = await startDev(t, { cwd, port })

  await t.test('a second start keeps users, sessions and keys', async (t) => {
    t.equal(second.password, password)
    t.equal(await (await fetch(`${issuer}/.well-known/jwks.json`)).text(), jwks)
    const verified = await fetch(`http://localhost:${port + 100}/verify`, {
      headers: { authorization: `Bearer ${access_token}` },
    })
    t.equal(verified.status, 200)
    t.equal((await post('/refresh', refresh_token)).status, 200)
  })

  await t.test('when one process dies, the others stop and a message names it', async (t) => {
    const pid = await pidOf(cwd, 'verifier-1')
    const env = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    t.ok(env.includes('GATEPASS_DRAIN_S=0'), 'it is stopped at once')
    process.kill(pid, 'SIGKILL')
    t.equal(await second.dev.exited, 1)
    t.match(second.dev.stderr, /The verifier-1 exited/)
    t.ok(await isFree(port))
  })
})

t.test('ports and origins of the user may be in files', async (t) => {
  const cwd = createTestFolder(t, { port: '1', origins: 'https://app.example' })
  const env = { GATEPASS_PORT_FILE: 'port', GATEPASS_ALLOWED_ORIGINS_FILE: 'origins' }
  const { dev } = await startDev(t, { cwd, env })
  t.equal(await dev.stop(), 0)
})

t.test('an address at which the processes cannot call each other is refused', async (t) => {
  const cwd = createTestFolder(t)
  for (const host of ['::1', '203.0.113.1']) {
    const { code, stderr } = await run(t, ['dev'], { cwd, env: { GATEPASS_HOST: host } })
    t.equal(code, 2)
    t.match(stderr, /GATEPASS_HOST must be 127\.0\.0\.1 or localhost or 0\.0\.0\.0 or ::/)
  }
})

t.test('a database that each process would have for itself is refused', async (t) => {
  const cwd = createTestFolder(t)
  for (const name of ['GATEPASS_ACCOUNTS_URL', 'GATEPASS_DATA_URL']) {
    const context = { cwd, env: { [name]: 'sqlite::memory:' } } as unknown as CliContext
    const problems = [{ pointer: name, detail: /must be a file for "gatepass dev"/ }]
    await t.rejects(runDev(context, { port: '4000' }), { code: 'config_invalid', problems })
  }
})

t.test('a shop that is no file is refused', async (t) => {
  const context = { cwd: createTestFolder(t, { 'shop.ts': '' }) } as CliContext
  for (const shop of ['', '.', 'other.ts', 'shop.ts/x'])
    await t.rejects(runDev(context, { port: '4000', shop }), { code: 'config_invalid' })
})

t.test('an empty secret file, which a full disk leaves, is filled', async (t) => {
  const path = join(createTestFolder(t, { secret: '' }), 'secret')
  const { text, isNew } = readOrCreateSecret(path)
  t.ok(isNew)
  t.equal(text.length, 43)
  t.same(readOrCreateSecret(path), { text, isNew: false })
})

t.test('a busy port is reported, and no process is left running', async (t) => {
  const port = await freeBasePort()
  await startTcpServer(t, undefined, port)
  const env = { npm_lifecycle_event: 'start' }
  const dev = await run(t, ['dev', '--port', String(port)], { cwd: createTestFolder(t), env })
  t.equal(dev.code, 1)
  t.match(dev.stderr, /^gatepass: .* Run: npm start -- --port \d+ \(port_in_use\)\n$/)
  t.ok(await isFree(port + 100))
  t.ok(await isFree(port + 200))
})
