import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { runCommand } from '../support/commands.ts'
import { createFirstKey } from '../support/keys.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { projectFolder } from '../support/project.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { bearer } from '../support/tokens.ts'

const isNotLinux = process.platform !== 'linux' && 'prlimit is a program of Linux'
const audience = 'https://api.example.com'

t.test('keys encryption makes a pair that issuer and verifier take', async (t) => {
  const curve = 'X25519'
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
    ...serviceEnv,
    GATEPASS_ISSUER: `http://127.0.0.1:${port}`,
    GATEPASS_AUDIENCE: audience,
  }
  const audiences = JSON.stringify([{ audience, encryption_key: publicJwk }])
  const issuerEnv = { ...env, GATEPASS_PORT: `${port}`, GATEPASS_AUDIENCES: audiences }
  const keyEnv = { ...env, GATEPASS_DECRYPTION_KEYS_FILE: 'key.json' }
  await addUser({ cwd, env: issuerEnv })
  await TestProcess.start(t, ['issuer'], { cwd, env: issuerEnv }).ready()
  const { access_token } = await signIn(env.GATEPASS_ISSUER)
  t.equal(access_token.split('.').length, 5)

  const verifier = TestProcess.start(t, ['verifier'], { cwd, env: keyEnv })
  const { url, adminUrl } = await verifier.ready()
  await untilStatus(`${adminUrl}/readyz`, 200)
  const whoami = await fetch(`${url}/whoami`, { headers: bearer(access_token) })
  t.match(await whoami.json(), { aud: audience, iss: env.GATEPASS_ISSUER })
  t.notOk(verifier.stdout.includes(privateJwk.d), 'no key in the log')
  const shown = await runCommand(['config', '--role', 'verifier', '--json'], { cwd, env: keyEnv })
  t.notOk(shown.stdout.includes(privateJwk.d), 'nor in what config shows')
})

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
  await createFirstKey(cwd, { ...serviceEnv, GATEPASS_ALGORITHM: 'ML-DSA-44' })
  const made = await runCommand(['keys', 'encryption', 'key.json'], { cwd })
  const audiences = [{ audience: 'http://localhost', encryption_key: JSON.parse(made.stdout) }]
  const issuer = { ...serviceEnv, GATEPASS_AUDIENCES: JSON.stringify(audiences) }
  const { code, stderr } = await run(t, ['issuer'], { cwd, env: issuer })
  t.equal(code, 2)
  t.match(stderr, /GATEPASS_AUDIENCES cannot be set while a key of ML-DSA-44 is active or pending/)
})
