import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCommand } from '../support/commands.ts'
import { createFirstKey } from '../support/keys.ts'
import { postJson } from '../support/post-json.ts'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const [older, newer] = ['older-keys-secret'.padEnd(32, '.'), 'newer-keys-secret'.padEnd(32, '.')]
const env = { ...serviceEnv, GATEPASS_KEYS_SECRET: newer }

type Env = Readonly<Record<string, string | undefined>>

interface KeyRow {
  readonly name: string
  readonly kid: string
  readonly state: string
}

async function startIssuer(t: Test, cwd: string, more: Env = {}) {
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...more } })
  const { url, adminUrl: admin } = await issuer.ready()
  const get = (path: string, token = '') =>
    fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })
  return { issuer, url, get, admin }
}

async function post(url: string, body: object) {
  const response = await postJson(url, body)
  return (await response.json()) as { access_token: string; refresh_token: string }
}

const keys = (cwd: string, args: string[], more: Env = {}) =>
  runCommand(['keys', ...args], { cwd, env: { ...env, ...more } })

async function listKeys(cwd: string, more: Env = {}): Promise<KeyRow[]> {
  return JSON.parse((await keys(cwd, ['list', '--json'], more)).stdout)
}

/** The texts of all key files. */
function keyFiles(cwd: string): string[] {
  const folder = join(cwd, 'keys')
  return readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
}

t.test('a compromised key is revoked on every replica', async (t) => {
  const cwd = createTestFolder(t)
  await addUser({ cwd, env })
  const replicas = [await startIssuer(t, cwd), await startIssuer(t, cwd)]
  const [first] = replicas
  if (first === undefined) throw new Error('there is none')
  const before = await signIn(first.url)
  for (const { get } of replicas) t.equal((await get('/me', before.access_token)).status, 200)
  const [{ kid } = { kid: '' }] = await listKeys(cwd)

  const revoked = await keys(cwd, ['revoke', '--json', '--', kid])
  t.equal(revoked.code, 0, revoked.stderr)
  const [row] = JSON.parse(revoked.stdout)
  t.match(row, { kid, revoked_at: /^20/, signing: String })
  for (const { get, issuer } of replicas) {
    const jwks = async () => (await get('/.well-known/jwks.json')).text()
    await until('the key is not published', async () => !(await jwks()).includes(kid))
    t.match(await (await get('/.well-known/jwks.json')).text(), row.signing)
    const refused = await get('/me', before.access_token)
    t.equal(refused.status, 401)
    t.match(await refused.json(), { code: 'token_key_unknown' })

    // A replica reads the keys and the revocations at times of their own.
    const revokedKeys = async (): Promise<Record<string, number>> => {
      const [, payload = ''] = (await (await get('/revocations')).text()).split('.')
      return JSON.parse(Buffer.from(payload, 'base64url').toString()).keys
    }
    await until('verifiers are notified', async () => kid in (await revokedKeys()))
    await issuer.line(new RegExp(`"event":"key\\.revoked","kid":"${kid}"`))
  }

  const { access_token } = await signIn(first.url)
  const refreshed = await post(`${first.url}/refresh`, { refresh_token: before.refresh_token })
  for (const { get } of replicas) {
    t.equal((await get('/me', access_token)).status, 200, 'a new login works')
    t.equal((await get('/me', refreshed.access_token)).status, 200, 'so do old sessions')
  }
  t.match(await listKeys(cwd), [
    { kid, state: 'revoked' },
    { kid: row.signing, state: 'active' },
  ])
})

t.test('keys are revoked by kid or name, repeatedly', async (t) => {
  const cwd = createTestFolder(t)
  await createFirstKey(cwd, env)
  await keys(cwd, ['rotate'])
  const [active, pending] = await listKeys(cwd)
  const names = [active?.name ?? '', pending?.kid ?? '']
  for (let time = 0; time < 2; time++) {
    // A kid may begin with a hyphen.
    const { code, stdout } = await keys(cwd, ['revoke', '--', ...names])
    t.equal(code, 0)
    t.match(stdout, `The key ${active?.kid} is revoked`)
    t.match(stdout, `The key ${pending?.kid} is revoked`)
    t.match(stdout, /The key \S{43} \(ES256\) signs\./)
  }
  const states = (await listKeys(cwd)).map(({ state }) => state)
  t.same(states.sort(), ['active', 'revoked', 'revoked'])
  t.equal((await keys(cwd, ['revoke'])).code, 2)
  const unknown = await keys(cwd, ['revoke', 'nothing'])
  t.equal(unknown.code, 2)
  t.match(unknown.stderr, /There is no key nothing. "gatepass keys list" shows all keys/)
})

t.test('when verifiers cannot be notified, the command fails and can run again', async (t) => {
  const cwd = createTestFolder(t, { blocked: '' })
  await createFirstKey(cwd, env)
  const [{ kid } = { kid: '' }] = await listKeys(cwd)
  const away = { GATEPASS_SESSIONS_URL: 'sqlite:blocked/sessions.db' }
  const failed = await keys(cwd, ['revoke', '--', kid], away)
  t.equal(failed.code, 1)
  t.match(failed.stderr, /is revoked, but .* verifiers are not notified.*Run the command again/)
  t.match(await listKeys(cwd), [{ kid, state: 'revoked' }, {}])
  t.equal((await keys(cwd, ['revoke', '--', kid])).code, 0)
})

t.test(
  'where keys have no secret of their own, that of refresh tokens encrypts them',
  async (t) => {
    const cwd = createTestFolder(t)
    const bare = { GATEPASS_KEYS_SECRET: undefined }
    await createFirstKey(cwd, { ...env, ...bare })
    t.equal((await keys(cwd, ['rotate'], bare)).code, 0)
    t.match(keyFiles(cwd), [/"encryptedKey"/, /"encryptedKey"/])
    t.notMatch(keyFiles(cwd), [/"privateJwk"/])
    const short = await keys(cwd, ['rotate'], { GATEPASS_KEYS_SECRET: 'short-secret' })
    t.match(short.stderr, /GATEPASS_KEYS_SECRET\/0 must have at least 32 characters/)
    t.notMatch(short.stderr, /short-secret/)
  },
)

t.test('a key-encryption secret is replaced while issuers run', async (t) => {
  const cwd = createTestFolder(t)
  const start = (secrets: string[] | undefined) =>
    startIssuer(t, cwd, { GATEPASS_KEYS_SECRET: secrets?.join() })
  const jwksOf = async ({ get }: Awaited<ReturnType<typeof start>>) =>
    (await get('/.well-known/jwks.json')).text()
  const first = await start(undefined)
  const jwks = await jwksOf(first)
  await first.issuer.stop()

  let texts = keyFiles(cwd)
  for (const secrets of [[older], [older, newer], [newer, older], [newer]]) {
    const issuer = await start(secrets)
    t.equal(await jwksOf(issuer), jwks, 'it is the same key')
    t.equal((await fetch(`${issuer.admin}/readyz`)).status, 200)
    await issuer.issuer.stop()
    const [before] = texts
    texts = keyFiles(cwd)
    t.match(texts, [/"encryptedKey"/])
    t.notMatch(texts, [/"privateJwk"/])
    const isFirstSecretNew = secrets.length === 1 ? secrets[0] === older : secrets[0] === newer
    t.equal(texts[0] !== before, isFirstSecretNew, `encrypted anew: ${secrets.length} secrets`)
  }
  const refused = await keys(cwd, ['rotate'], { GATEPASS_KEYS_SECRET: older })
  t.equal(refused.code, 1)
  t.match(refused.stderr, /"epoch-\d+-ES256".*no secret in GATEPASS_KEYS_SECRET or/)
  for (const secret of [older, newer]) t.notMatch(refused.stderr, secret)
})

t.test('keys that other users may write to are refused, at the start and later', async (t) => {
  const cwd = createTestFolder(t)
  const { admin, issuer } = await startIssuer(t, cwd, { GATEPASS_JWKS_MAX_AGE_S: '1' })
  await untilStatus(`${admin}/readyz`, 200)
  chmodSync(join(cwd, 'keys'), 0o777)
  await untilStatus(`${admin}/readyz`, 503)
  const { check, err } = JSON.parse(await issuer.line(/"a readiness check fails"/))
  t.equal(check, 'keys')
  t.match(err.message, /Anybody may write to .*chmod 700/)
  t.match((await keys(cwd, ['list'])).stderr, /Anybody may write to .*chmod 700/)
  chmodSync(join(cwd, 'keys'), 0o700)
  await untilStatus(`${admin}/readyz`, 200)
  writeFileSync(join(cwd, 'keys', 'other.json'), '{}', { mode: 0o644 })
  await untilStatus(`${admin}/readyz`, 503)
})
