import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { generatePassword, Users } from '../../src/issuer/users.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/account-store.ts'
import { account, someHash } from '../support/accounts.ts'
import { FakeClock } from '../support/clock.ts'
import { collect } from '../support/collect.ts'

/** The use cases on an empty store, with a hash that can be read and notes of what was called. */
function setUp(t: Test) {
  const accounts = new SqliteAccountStore(':memory:')
  t.teardown(() => accounts.close())
  const clock = new FakeClock(1_000_000)
  const revoked: unknown[] = []
  const sessions = {
    checkClock: async () => {},
    revokeAll: async (sub: string) => {
      revoked.push({ sub, account: await accounts.findBySub(sub) })
      return 3
    },
  }
  const hasher = { hash: async (password: string) => `hash of ${password}` }
  const users = new Users({ accounts, sessions, hasher, clock })
  return { users, accounts, clock, revoked, sessions }
}

t.test('adds a user', async (t) => {
  const { users, accounts } = setUp(t)
  const attributes = { email: 'alice@example.com' }
  const user = await users.add({ loginName: 'ALICE', password: 'correct horse', attributes })
  t.match(user.sub, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/)
  t.strictSame(user, {
    sub: user.sub,
    loginName: 'alice',
    attributes,
    disabled: false,
    createdAtMs: 1_000_000,
    updatedAtMs: 1_000_000,
  })
  t.strictSame(await accounts.findByLoginName('alice'), {
    ...user,
    passwordHash: 'hash of correct horse',
  })
})

t.test('refuses an invalid name or password, and a taken name', async (t) => {
  const { users } = setUp(t)
  await users.add({ loginName: 'alice', password: 'correct horse' })
  const add = (loginName: string, password: string) => users.add({ loginName, password })
  await t.rejects(add('Alice', 'correct horse'), { code: 'account_exists' })
  await t.rejects(add(' bob', 'correct horse'), { code: 'login_name_invalid' })
  await t.rejects(add('bob', 'horse'), { code: 'password_invalid' })
  t.equal((await collect(users.list())).length, 1)
})

t.test('lists all users by name, without their hashes', async (t) => {
  const { users, accounts } = setUp(t)
  const loginNames = Array.from({ length: 1203 }, (_, n) => String(n).padStart(6, '0'))
  await accounts.create(loginNames.map((loginName) => account({ loginName })))
  const listed = await collect(users.list())
  t.strictSame(
    listed.map(({ loginName }) => loginName),
    loginNames,
  )
  t.notMatch(JSON.stringify(listed), someHash)
})

t.test('a new password is set, then the sessions are revoked', async (t) => {
  const { users, accounts, clock, revoked } = setUp(t)
  const { sub } = await users.add({ loginName: 'alice', password: 'correct horse' })
  clock.advanceMs(5000)
  t.equal(await users.setPassword('Alice', 'battery staple'), 3)
  const changed = await accounts.findBySub(sub)
  t.match(changed, { passwordHash: 'hash of battery staple', updatedAtMs: 1_005_000 })
  t.strictSame(revoked, [{ sub, account: changed }])
})

t.test(
  'an account is disabled before its sessions are revoked; enabling revokes nothing',
  async (t) => {
    const { users, accounts, clock, revoked } = setUp(t)
    const { sub } = await users.add({ loginName: 'alice', password: 'correct horse' })
    clock.advanceMs(5000)
    t.equal(await users.disable('Alice'), 3)
    const disabled = await accounts.findBySub(sub)
    t.match(disabled, { disabled: true, updatedAtMs: 1_005_000 })
    t.strictSame(revoked, [{ sub, account: disabled }])
    await users.enable('Alice')
    t.match(await accounts.findBySub(sub), { disabled: false })
    t.equal(revoked.length, 1)
  },
)

t.test('a call for an unknown user, or with an invalid password, changes nothing', async (t) => {
  const { users, accounts, revoked } = setUp(t)
  const { sub } = await users.add({ loginName: 'alice', password: 'correct horse' })
  const before = await accounts.findBySub(sub)
  await t.rejects(users.setPassword('bob', 'battery staple'), { code: 'account_not_found' })
  await t.rejects(users.setPassword('alice', 'horse'), { code: 'password_invalid' })
  await t.rejects(users.disable('bob'), { code: 'account_not_found' })
  await t.rejects(users.enable('bob'), { code: 'account_not_found' })
  t.strictSame(await accounts.findBySub(sub), before)
  t.strictSame(revoked, [])
})

t.test('while the clock is wrong, no account changes whose sessions must end', async (t) => {
  const { users, accounts, revoked, sessions } = setUp(t)
  const { sub } = await users.add({ loginName: 'alice', password: 'correct horse' })
  const before = await accounts.findBySub(sub)
  const wrong = { code: 'clock_skew' } as const
  sessions.checkClock = () => Promise.reject(new GatepassError(wrong.code))
  await t.rejects(users.setPassword('alice', 'battery staple'), wrong)
  await t.rejects(users.disable('alice'), wrong)
  await t.rejects(users.disableById(sub), wrong)
  t.strictSame(await accounts.findBySub(sub), before)
  t.strictSame(revoked, [])
})

t.test('a user id that has neither an account nor a session is an error', async (t) => {
  const { users, accounts, sessions } = setUp(t)
  const asked: string[] = []
  let live = 0
  sessions.revokeAll = async (sub) => {
    asked.push(sub)
    return live
  }
  const notFound = { code: 'account_not_found', detail: /neither an account nor a session/ }
  t.comment('verifiers accept no revocation with such an id')
  for (const sub of ['', 'x'.repeat(256)]) await t.rejects(users.disableById(sub), notFound)
  t.strictSame(asked, [])
  const longest = 'x'.repeat(255)
  await t.rejects(users.disableById(longest), notFound)
  live = 1
  t.strictSame(await users.disableById(longest), { hadAccount: false, revoked: 1 })
  live = 0
  const { sub } = await users.add({ loginName: 'alice', password: 'correct horse' })
  t.strictSame(await users.disableById(sub), { hadAccount: true, revoked: 0 })
  t.match(await accounts.findBySub(sub), { disabled: true })
})

t.test('an account that is deleted meanwhile is not reported as changed', async (t) => {
  const { users, accounts, revoked } = setUp(t)
  await users.add({ loginName: 'alice', password: 'correct horse' })
  accounts.setPasswordHash = async () => false
  accounts.setDisabled = async () => false
  const notFound = { code: 'account_not_found' }
  await t.rejects(users.setPassword('alice', 'battery staple'), notFound)
  await t.rejects(users.disable('alice'), notFound)
  await t.rejects(users.enable('alice'), notFound)
  t.strictSame(revoked, [])
})

t.test('a user base that disables its accounts itself lets their sessions be ended', async (t) => {
  const { users, accounts, revoked } = setUp(t)
  const { sub } = await users.add({ loginName: 'alice', password: 'correct horse' })
  await users.disable('alice')
  accounts.setDisabled = async () => {
    throw new GatepassError('operation_unsupported')
  }
  t.equal(await users.disable('alice'), 3)
  t.strictSame(await users.disableById(sub), { hadAccount: true, revoked: 3 })
  t.equal(revoked.length, 3)
  await t.rejects(users.enable('alice'), { code: 'operation_unsupported' })
})

t.test('a generated password is long, readable and unique', async (t) => {
  const passwords = new Set(Array.from({ length: 1000 }, generatePassword))
  t.equal(passwords.size, 1000)
  for (const password of passwords) {
    if (!/^([0-9a-hjkmnp-tv-z]{4}-){4}[0-9a-hjkmnp-tv-z]{4}$/.test(password)) t.fail(password)
  }
  // 20 characters of 32 are 100 bits, when each of the 32 is used.
  const used = new Set([...passwords].join('').replaceAll('-', ''))
  t.equal(used.size, 32)
})
