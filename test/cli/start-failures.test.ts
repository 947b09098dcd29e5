import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { run } from '../support/processes.ts'
import { serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

t.test('an address that is not of this machine is a wrong setting', async (t) => {
  for (const [role, host, workers] of [
    ['issuer', '203.0.113.5', '1'],
    ['verifier', 'nowhere.invalid', '2'],
    // A link-local address without its interface.
    ['verifier', 'fe80::1', '1'],
  ] as const) {
    const env = { ...serviceEnv, GATEPASS_HOST: host, GATEPASS_WORKERS: workers }
    const { code, stderr } = await run(t, [role], { cwd: createTestFolder(t), env })
    t.equal(code, 2, role)
    // Each worker prints the reason.
    t.same([...new Set(stderr.trimEnd().split('\n'))].toSorted(), [
      `  GATEPASS_HOST ${host} is not an address of this machine`,
      'gatepass: The configuration is invalid. (config_invalid)',
    ])
  }
})

t.test('a file of keys that can neither be read nor created is a wrong setting', async (t) => {
  const cwd = createTestFolder(t, { a: { file: '' } })
  const cases = {
    'missing/jwks.json': 'missing cannot be written (ENOENT)',
    'a/file/jwks.json': 'a/file cannot be written (ENOTDIR)',
    a: 'a is not a file',
  }
  const starts = Object.entries(cases).map(async ([file, reason]) => {
    const env = { ...serviceEnv, GATEPASS_JWKS_FILE: file }
    const { code, stderr } = await run(t, ['verifier'], { cwd, env })
    t.equal(code, 2)
    t.match(stderr, `\n  GATEPASS_JWKS_FILE ${reason}\n`)
  })
  await Promise.all(starts)
})

t.test('a store that a newer version has migrated is named by its setting', async (t) => {
  const cwd = createTestFolder(t)
  await new SqliteDataStore(join(cwd, 'data.db')).close()
  const db = new DatabaseSync(join(cwd, 'data.db'))
  db.exec("INSERT INTO migrations VALUES ('data', 99, 'later', '')")
  db.close()
  const GATEPASS_DATA_SECRET = 'another-secret-of-at-least-thirty-two-characters'
  const env = { ...serviceEnv, GATEPASS_DATA_URL: 'sqlite:data.db', GATEPASS_DATA_SECRET }
  for (const args of [['issuer'], ['verifier'], ['migrate']]) {
    const { code, stderr } = await run(t, args, { cwd, env })
    t.equal(code, 1)
    t.match(stderr, /^gatepass: GATEPASS_DATA_URL: A newer version .* \(migration_failed\)\n$/)
  }
})

t.test('a store that cannot be opened is named by its setting, with the reason', async (t) => {
  const port = await freePort()
  for (const [args, env, expected] of [
    [['issuer'], { GATEPASS_ACCOUNTS_URL: 'sqlite:text' }, /ACCOUNTS_URL: .*not a database\. /],
    [['issuer'], { GATEPASS_SESSIONS_URL: `redis://:pass-word@127.0.0.1:${port}` }, /ECONNREFUSED/],
    [['sessions', 'end', '--all'], { GATEPASS_SESSIONS_URL: 'sqlite:text' }, /not a database/],
    [['migrate'], { GATEPASS_KEYS_URL: `postgres://ada@127.0.0.1:${port}/db` }, /ECONNREFUSED/],
  ] as const) {
    const cwd = createTestFolder(t, { text: 'This is no database. '.repeat(100) })
    const { code, stderr } = await run(t, args, { cwd, env: { ...serviceEnv, ...env } })
    t.equal(code, 1)
    const [setting] = Object.keys(env)
    t.match(stderr, new RegExp(`^gatepass: ${setting}: .* \\(store_unavailable\\)\\n$`))
    t.match(stderr, expected)
    t.notMatch(stderr, /pass-word/)
  }
})
