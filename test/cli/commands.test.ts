import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { packageVersion } from '../../src/cli/context.ts'
import { password } from '../support/accounts.ts'
import { closedWith } from '../support/closed-with.ts'
import { runCommand } from '../support/commands.ts'
import { createFirstKey } from '../support/keys.ts'
import { run } from '../support/processes.ts'
import { keyRotation } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

const env = { ...keyRotation, GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters' }

t.test('--help lists the commands, and --version prints the version', async (t) => {
  const cwd = createTestFolder(t)
  const help = await run(t, ['--help'], { cwd })
  t.equal(help.code, 0)
  for (const word of [
    'dev',
    'issuer',
    'verifier',
    'keys',
    'users',
    'login',
    'logout',
    'token',
    'migrate',
    'config',
    'Exit codes',
  ]) {
    t.match(help.stdout, word)
  }
  t.match((await runCommand(['users', 'import', '--help'], { cwd })).stdout, /"login_name"/)
  const version = await runCommand(['--version'], { cwd })
  t.equal(version.stdout, `${packageVersion()}\n`)
})

t.test('wrong usage exits with 2, and suggests', async (t) => {
  const cwd = createTestFolder(t)
  const misspelt = await run(t, ['isuer'], { cwd })
  t.equal(misspelt.code, 2)
  t.match(misspelt.stderr, /Did you mean issuer\?/)
  t.equal((await runCommand(['users', 'add'], { cwd })).code, 2)
  t.equal((await runCommand(['config', '--role', 'cook'], { cwd })).code, 2)
})

t.test('an invalid configuration lists all problems and exits with 2', async (t) => {
  const bad = { GATEPASS_PORT: 'x', GATEPASS_PLAYGROUND: 'true' }
  const { code, stderr } = await run(t, ['issuer'], { cwd: createTestFolder(t), env: bad })
  t.equal(code, 2)
  t.match(stderr, /GATEPASS_PORT/)
  t.match(stderr, /GATEPASS_SECRET is required/)
  t.notMatch(stderr, /^ +at /m)
})

t.test('outside dev, a missing secret prevents startup', async (t) => {
  for (const mode of ['production', 'development']) {
    const env = { GATEPASS_MODE: mode }
    const { code, stderr } = await runCommand(['issuer'], { cwd: createTestFolder(t), env })
    t.equal(code, 2)
    t.match(stderr, /GATEPASS_SECRET is required and not set/)
  }
})

t.test('config shows value, unit and source, and hides secrets', async (t) => {
  const cwd = createTestFolder(t, { 'gatepass.json': '{"grace_s": 20}' })
  const whole = { GATEPASS_AUDIENCE: 'api://orders@v2?a', GATEPASS_ACCOUNTS_URL: 'sqlite:a?@b.db' }
  const more = { ...env, ...whole, GATEPASS_ACCESS_TTL_S: '60' }
  const { stdout, code } = await runCommand(['config', '--json'], { cwd, env: more })
  t.equal(code, 0)
  const rows: Record<string, unknown>[] = JSON.parse(stdout)
  const row = (name: string) => rows.find(({ setting }) => setting === name)
  t.same(row('GATEPASS_ACCESS_TTL_S'), {
    setting: 'GATEPASS_ACCESS_TTL_S',
    value: 60,
    unit: 'seconds',
    source: 'GATEPASS_ACCESS_TTL_S',
  })
  t.match(row('GATEPASS_GRACE_S'), { value: 20, source: join(cwd, 'gatepass.json') })
  t.match(row('GATEPASS_HOST'), { value: '127.0.0.1', unit: null, source: 'default' })
  for (const [name, value] of Object.entries(whole)) t.match(row(name), { value })
  t.match(row('GATEPASS_SECRET'), { value: 'hidden (1)' })
  t.notMatch(stdout, env.GATEPASS_SECRET)
  const withPassword = {
    ...env,
    GATEPASS_SESSIONS_URL: 'postgres://ada:one@half@localhost/db?sslmode=require',
    GATEPASS_DATA_URL: 'redis+sentinel://localhost/main?sentinel_password=one@half',
  }
  const hidden = await runCommand(['config'], { cwd, env: withPassword })
  t.match(hidden.stdout, / postgres:\/\/…@localhost\/db /)
  t.match(hidden.stdout, / redis\+sentinel:\/\/localhost\/main /)
  const verifier = await runCommand(['config', '--role', 'verifier'], { cwd })
  t.match(verifier.stdout, /GATEPASS_JWKS_URL/)
  t.notMatch(verifier.stdout, /GATEPASS_SECRET/)
})

t.test('commands that issue no tokens need no secret', async (t) => {
  const cwd = createTestFolder(t)
  for (const args of [['users', 'list'], ['keys', 'list'], ['migrate'], ['config']]) {
    t.equal((await runCommand(args, { cwd })).code, 0, args.join(' '))
  }
})

t.test('attributes that are not a JSON object are reported, and not shown', async (t) => {
  const cwd = createTestFolder(t)
  await runCommand(['users', 'add', 'ada'], { cwd, env, input: password })
  const db = closedWith(t, new DatabaseSync(join(cwd, '.gatepass/accounts.db')))
  const { sub } = db.prepare('SELECT sub FROM accounts').get() ?? {}
  for (const attributes of ['ada@example.com', '"ada@example.com"', '["ada@example.com"]']) {
    db.prepare('UPDATE accounts SET attributes = ?').run(attributes)
    const { code, stderr } = await runCommand(['users', 'list'], { cwd, env })
    t.equal(code, 1)
    t.match(stderr, `The attributes of the user ${sub} are not a JSON object.`)
    t.notMatch(stderr, 'example')
  }
})

t.test('users can be added, listed, disabled and enabled, and get a new password', async (t) => {
  const cwd = createTestFolder(t)
  const users = (args: string[], input = '') => runCommand(['users', ...args], { cwd, env, input })
  const added = await users(['add', 'Ada', '--attributes', '{"name":"Ada"}'], `${password}\n`)
  t.equal(added.code, 0)
  t.match(added.stderr, /Added Ada/)
  t.equal((await users(['add', 'ada'], password)).code, 1)
  t.match((await users(['add', 'bob'], 'short')).stderr, /password_invalid/)
  const large = JSON.stringify({ text: 'x'.repeat(64 * 1024) })
  for (const attributes of ['[1]', '{', '{"a":1,"a":2}', '{"a":1e400}', large]) {
    const refused = await users(['add', 'bob', '--attributes', attributes], password)
    t.match(refused.stderr, /JSON object/, attributes.slice(0, 20))
  }
  const generated = await users(['add', 'eve', '--generate-password'])
  t.match(generated.stdout, /^[0-9a-z-]{24}\n$/)

  t.equal((await users(['passwd', 'ada'], 'another good password')).code, 0)
  t.equal((await users(['disable', 'ada'])).code, 0)
  t.match((await users(['disable', 'nobody'])).stderr, /account_not_found/)
  const { stdout } = await users(['list', '--json'])
  t.match(JSON.parse(stdout), [
    { login_name: 'ada', disabled: true, attributes: { name: 'Ada' } },
    { login_name: 'eve', disabled: false },
  ])
  t.notMatch(stdout, /argon2/)
  t.equal((await users(['enable', 'ada'])).code, 0)
  t.match((await users(['list'])).stdout, /^LOGIN_NAME +SUB +DISABLED/)
})

t.test('users import: a folder is named as the problem, without a stack', async (t) => {
  const cwd = createTestFolder(t)
  const { code, stderr } = await runCommand(['users', 'import', '.'], { cwd })
  t.equal(code, 1)
  t.equal(stderr, 'gatepass: EISDIR: illegal operation on a directory, read\n')
})

t.test(
  'users import: a file that cannot be opened has no stack, while the stores open',
  async (t) => {
    const cwd = createTestFolder(t)
    // Nobody, not even root, can open a socket as a file.
    const server = createServer().listen(join(cwd, 'socket'))
    t.teardown(() => server.close())
    await once(server, 'listening')
    const env = { GATEPASS_SESSIONS_URL: 'redis://127.0.0.1:1' }
    const { code, stderr } = await run(t, ['users', 'import', 'socket'], { cwd, env })
    t.equal(code, 1)
    t.match(stderr, /^gatepass: GATEPASS_SESSIONS_URL: Redis cannot be used: .*\n$/)
  },
)

t.test(
  'users import: valid lines are imported, each invalid line is reported by number',
  async (t) => {
    const cwd = createTestFolder(t)
    const bcrypt = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
    const lines = [
      JSON.stringify({ login_name: 'ada', password_hash: bcrypt, attributes: { name: 'Ada' } }),
      '{"login_name": "bob"',
      JSON.stringify({ login_name: 'ADA', password_hash: bcrypt }),
      JSON.stringify({ login_name: 'eve', password_hash: 'md5:1234' }),
      JSON.stringify({ login_name: 'max', password_hash: bcrypt }),
    ]
    writeFileSync(join(cwd, 'users.ndjson'), lines.join('\n'))
    const fromFile = await runCommand(['users', 'import', 'users.ndjson'], { cwd, env })
    t.equal(fromFile.code, 1)
    t.equal(fromFile.stdout, '2 imported, 1 skipped (the user exists), 2 invalid lines\n')
    t.match(fromFile.stderr, /^line 2: /m)
    t.match(fromFile.stderr, /^line 4: /m)
    t.match(fromFile.stderr, /5 lines read \(100 %\)/)
    t.notMatch(fromFile.stderr, /md5:1234/)

    const input = JSON.stringify({ login_name: 'zoe', password_hash: bcrypt })
    const piped = await run(t, ['users', 'import', '-', '--json'], { cwd, env, input })
    t.equal(piped.code, 0)
    t.same(JSON.parse(piped.stdout), { imported: 1, skipped: 0, bad: 0 })
    const missing = await runCommand(['users', 'import', 'missing.ndjson'], { cwd, env })
    t.equal(missing.code, 1)
    t.match(missing.stderr, /no such file/)
  },
)

t.test('keys rotate creates a key that signs later, and never the first key', async (t) => {
  const cwd = createTestFolder(t)
  const keys = (args: string[]) => runCommand(['keys', ...args], { cwd, env })
  const unknown = await keys(['revoke', 'epoch-692-ES256'])
  t.equal(unknown.code, 2)
  t.match(unknown.stderr, /There is no key epoch-692-ES256/)
  const early = await keys(['rotate'])
  t.equal(early.code, 2)
  t.match(early.stderr, /GATEPASS_KEYS_URL has no keys: is it the store of the issuers/)
  t.equal((await keys(['list'])).stdout, 'none\n')
  await createFirstKey(cwd, env)
  const rotated = await keys(['rotate'])
  t.equal(rotated.code, 0)
  t.match(rotated.stdout, /It signs from 20\d\d-/)
  const listed = JSON.parse((await keys(['list', '--json'])).stdout)
  t.match(listed, [
    { state: 'active', alg: 'ES256', removed_at: String },
    { state: 'pending', removed_at: null },
  ])
  t.notMatch(JSON.stringify(listed), /"d"|private/)
})

t.test('migrate can run repeatedly', async (t) => {
  const cwd = createTestFolder(t)
  for (let n = 0; n < 2; n++) {
    const { code, stdout } = await runCommand(['migrate'], { cwd, env })
    t.equal(code, 0)
    t.match(stdout, /accounts: up to date.*\nsessions: up to date/)
  }
})

t.test('both stores fit into one file', async (t) => {
  const cwd = createTestFolder(t)
  const one = {
    ...env,
    GATEPASS_ACCOUNTS_URL: 'sqlite:all.db',
    GATEPASS_SESSIONS_URL: 'sqlite:all.db',
  }
  t.equal((await runCommand(['users', 'add', 'ada'], { cwd, env: one, input: password })).code, 0)
})
