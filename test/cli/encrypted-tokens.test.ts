import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { runCommand } from '../support/commands.ts'
import { createFirstKey } from '../support/keys.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { projectFolder } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'

const isNotLinux = process.platform !== 'linux' && 'prlimit is a program of Linux'
const password = 'correct horse battery staple'
const audience = 'https://api.example.com'

for (const curve of ['P-256', 'X25519']) {
  t.test(`keys encryption makes a pair on ${curve} that issuer and verifier take`, async (t) => {
    const cwd = createTestFolder(t)
    const made = await runCommand(['keys', 'encryption', 'key.json', '--curve', curve], { cwd })
    t.equal(made.code, 0, made.stderr)
    const publicJwk = JSON.parse(made.stdout)
    const [privateJwk] = JSON.parse(readFileSync(join(cwd, 'key.json'), 'utf8'))
    t.match(publicJwk, { crv: curve, use: 'enc', alg: 'ECDH-ES', kid: /^[\w-]{43}$/ })
    t.notOk('d' in publicJwk)
    t.same({ ...publicJwk, d: privateJwk.d }, privateJwk)
    t.equal(statSync(join(cwd, 'key.json')).mode & 0o777, 0o600)
    const again = await runCommand(['keys', 'encryption', 'key.json'], { cwd })
    t.equal(again.code, 2)
    t.match(again.stderr, /key\.json cannot be created \(EEXIST\)/)

    const port = await freePort()
    const env = {
      GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
      GATEPASS_ISSUER: `http://127.0.0.1:${port}`,
      GATEPASS_AUDIENCE: audience,
      GATEPASS_ADMIN_PORT: '0',
    }
    const audiences = JSON.stringify([{ audience, encryption_key: publicJwk }])
    const issuerEnv = { ...env, GATEPASS_PORT: `${port}`, GATEPASS_AUDIENCES: audiences }
    const keyEnv = { ...env, GATEPASS_PORT: '0', GATEPASS_DECRYPTION_KEYS_FILE: 'key.json' }
    await runCommand(['users', 'add', 'ada'], { cwd, env: issuerEnv, input: password })
    await TestProcess.start(t, ['issuer'], { cwd, env: issuerEnv }).ready()
    const login = await postJson(`${env.GATEPASS_ISSUER}/login`, { username: 'ada', password })
    const { access_token } = (await login.json()) as { access_token: string }
    t.equal(access_token.split('.').length, 5)

    const verifier = TestProcess.start(t, ['verifier'], { cwd, env: keyEnv })
    const address = await verifier.ready()
    await untilStatus(`http://127.0.0.1:${address.adminPort}/readyz`, 200)
    const headers = { authorization: `Bearer ${access_token}` }
    const whoami = await fetch(`http://127.0.0.1:${address.port}/whoami`, { headers })
    t.match(await whoami.json(), { aud: audience, iss: env.GATEPASS_ISSUER })
    t.notOk(verifier.stdout.includes(privateJwk.d), 'no key in the log')
    const shown = await runCommand(['config', '--role', 'verifier', '--json'], { cwd, env: keyEnv })
    t.notOk(shown.stdout.includes(privateJwk.d), 'nor in what config shows')
  })
}

t.test('a disk without space leaves no key file', { skip: isNotLinux }, async (t) => {
  const cwd = createTestFolder(t)
  const program = [process.execPath, join(projectFolder, 'src/cli/main.ts')]
  const command = ['prlimit', '--fsize=0', ...program, 'keys', 'encryption', 'key.json']
  const { code, stdout, stderr } = await run(t, [], { cwd, command })
  t.equal(code, 2)
  t.match(stderr, /The file key\.json cannot be created \(EFBIG\)/)
  t.equal(stdout, '')
  t.same(readdirSync(cwd), [])
  const inFile = ['keys', 'encryption', join(process.execPath, 'key.json')]
  t.match(await runCommand(inFile, { cwd }), { code: 2, stderr: /cannot be created \(ENOTDIR\)/ })
})

t.test('no token is encrypted while a key signs whose tokens are too long', async (t) => {
  const cwd = createTestFolder(t)
  const env = { GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters' }
  await createFirstKey(cwd, { ...env, GATEPASS_ALGORITHM: 'ML-DSA-44' })
  const made = await runCommand(['keys', 'encryption', 'key.json'], { cwd })
  const audiences = [{ audience: 'http://localhost', encryption_key: JSON.parse(made.stdout) }]
  const issuer = { ...env, GATEPASS_AUDIENCES: JSON.stringify(audiences) }
  const { code, stderr } = await run(t, ['issuer'], { cwd, env: issuer })
  t.equal(code, 2)
  t.match(stderr, /GATEPASS_AUDIENCES cannot be set while a key of ML-DSA-44 is active or pending/)
})
