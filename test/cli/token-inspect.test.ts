import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { runCommand } from '../support/commands.ts'
import { startHttpServer } from '../support/http-server.ts'
import { TestProcess } from '../support/processes.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { claimsWith, makeKey, mint } from '../support/tokens.ts'

const password = 'correct horse battery staple'
const key = makeKey('ES256')
const now_s = Math.floor(Date.now() / 1000)

t.test('the token of a login: accepted, and revoked once it is signed out', async (t) => {
  const cwd = createTestFolder(t)
  const port = await freePort()
  const env = {
    GATEPASS_ISSUER: `http://127.0.0.1:${port}`,
    XDG_STATE_HOME: join(cwd, 'state'),
    GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
    GATEPASS_ADMIN_PORT: '0',
    GATEPASS_PORT: `${port}`,
  }
  const gatepass = (args: readonly string[], input = '') => runCommand(args, { cwd, env, input })
  await gatepass(['users', 'add', 'ada'], password)
  await TestProcess.start(t, ['issuer'], { cwd, env }).ready()
  await gatepass(['login', 'ada'], password)

  const own = await gatepass(['token', 'inspect'])
  t.match(own, { code: 0, stdout: /^The token is accepted for [45] minutes/ })
  t.match(own.stdout, `http://127.0.0.1:${port} has not revoked the token.`)
  const token = (await gatepass(['token'])).stdout
  t.notOk(own.stdout.includes(token.trim()), 'it is not repeated')

  await gatepass(['logout'])
  const revoked = await gatepass(['token', 'inspect', '-', '--json'], `Bearer ${token}\n`)
  t.equal(revoked.code, 1)
  t.match(JSON.parse(revoked.stdout), {
    accepted: false,
    code: 'token_revoked',
    reason: /The session was ended/,
    signature: 'good',
    revocations_checked: true,
  })
  t.match(await gatepass(['token', 'inspect']), { code: 1, stderr: /You are not signed in/ })
})

t.test('no part of the token is sent anywhere', async (t) => {
  const received: string[] = []
  const server = await startHttpServer(t, (request, response) => {
    received.push(`${request.method} ${request.url} ${request.rawHeaders.join(' ')}`)
    request.on('data', (body) => received.push(String(body)))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(
      request.url?.endsWith('jwks.json') ? JSON.stringify({ keys: [key.publicJwk] }) : '',
    )
  })
  const issuer = server.url
  const payload = claimsWith({ iss: issuer, iat: now_s, exp: now_s + 300 })
  const token = mint(key, { payload })
  const cwd = createTestFolder(t)
  const inspect = (...args: string[]) => runCommand(['token', 'inspect', ...args], { cwd })

  const found = await inspect(token, '--issuer', issuer)
  t.match(found, { code: 0, stdout: /Revocation was not checked/ })
  const asked = new Set(received.map((line) => line.split(' ', 2).join(' ')))
  t.same([...asked].sort(), ['GET /.well-known/jwks.json', 'GET /revocations'])
  for (const part of token.split('.')) t.notOk(received.some((line) => line.includes(part)))

  received.length = 0
  // With the byte order mark of an editor on Windows.
  writeFileSync(join(cwd, 'jwks.json'), `\ufeff${JSON.stringify({ keys: [key.publicJwk] })}`)
  t.equal((await inspect(token, '--jwks', 'jwks.json')).code, 0)
  t.same(received, [], 'with a file nobody is asked')
  await server.close()

  const away = await inspect(token, '--issuer', issuer)
  t.match(away, {
    code: 1,
    stdout: /^Not checked \(keys_unavailable\)\. .* The token may be valid\./,
  })
  t.match(away.stdout, /Content \(not verified\):/)
})

t.test('a missing token or an unusable JWK Set is an error that says so', async (t) => {
  const cwd = createTestFolder(t, { 'not.json': '[]', 'empty.json': '{"keys": []}' })
  const inspect = (...args: string[]) => runCommand(['token', 'inspect', ...args], { cwd })
  t.match(await inspect('-'), { code: 1, stderr: /The token is empty/ })
  t.match(await inspect('x', '--jwks', 'not.json'), { code: 2, stderr: /is not a JWK Set/ })
  t.match(await inspect('x', '--jwks', '.'), { code: 2, stderr: / cannot be read \(EISDIR\)/ })
  t.match(await inspect('x', '--jwks', 'empty.json'), { code: 2, stderr: /there are no keys/ })
  t.equal((await inspect('x', 'y')).code, 2)
  const help = (await inspect('--help')).stdout
  t.equal(help.split('--issuer <url>').length, 2, 'the option is listed once')
})
