import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import type { Account, Session } from '../../src/stores/ports.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/account-store.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { password } from '../support/issuer.ts'
import { startOAuth } from '../support/oauth.ts'
import { Visitor } from '../support/visitor.ts'

/** Changes of an account while a login with its password is in progress. */

type Step = () => Promise<unknown>
const nothing: Step = async () => {}

/** Runs a step after an account was read by its name. */
class Accounts extends SqliteAccountStore {
  afterFind = nothing

  override async findByLoginName(loginName: string): Promise<Account | null> {
    const found = await super.findByLoginName(loginName)
    const step = this.afterFind
    this.afterFind = nothing
    await step()
    return found
  }
}

/** Runs a step before a session is stored. */
class Sessions extends SqliteSessionStore {
  beforeCreate = nothing

  override async create(session: Session): Promise<number> {
    await this.beforeCreate()
    return super.create(session)
  }
}

async function setUp(t: Test) {
  const accounts = new Accounts(':memory:')
  const sessions = new Sessions(':memory:')
  const issuer = await startOAuth(t, { accounts, sessions })
  const { sub = '' } = (await accounts.findByLoginName('ada')) ?? {}
  const live = () => sessions.listBySub(sub, issuer.clock.nowMs())
  return { issuer, accounts, sessions, sub, live }
}

t.test('two logins replace a weak hash at the same time, and both succeed', async (t) => {
  const { issuer, accounts, sub, live } = await setUp(t)
  // bcrypt of "U*U", the password of a published test vector.
  const bcrypt = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
  await accounts.setPasswordHash(sub, bcrypt, 0)
  accounts.afterFind = async () => {
    t.equal((await issuer.login({ password: 'U*U' })).statusCode, 200)
  }
  t.equal((await issuer.login({ password: 'U*U' })).statusCode, 200)
  t.match((await accounts.findBySub(sub))?.passwordHash, /^\$argon2id\$/)
  t.equal((await live()).length, 2)

  t.comment('a stronger hash that cannot be stored fails no login')
  await accounts.setPasswordHash(sub, bcrypt, 0)
  const { setPasswordHash } = accounts
  accounts.setPasswordHash = () => Promise.reject(new GatepassError('store_unavailable'))
  t.equal((await issuer.login({ password: 'U*U' })).statusCode, 200)
  accounts.setPasswordHash = setPasswordHash
  t.equal((await accounts.findBySub(sub))?.passwordHash, bcrypt)

  t.comment('the stronger hash of the old password replaces no password that is set meanwhile')
  accounts.afterFind = () => issuer.users.setPassword('ada', 'another password')
  t.equal((await issuer.login({ password: 'U*U' })).statusCode, 401)
  t.equal((await issuer.login({ password: 'another password' })).statusCode, 200)
})

type SetUp = Awaited<ReturnType<typeof setUp>>

const changes: Record<string, (parts: SetUp) => Promise<unknown>> = {
  'has another password': ({ issuer }) => issuer.users.setPassword('ada', 'another password'),
  'is disabled': ({ issuer }) => issuer.users.disable('ada'),
}

const moments: Record<string, (parts: SetUp, step: Step) => void> = {
  'while the password is checked': ({ accounts }, step) => {
    accounts.afterFind = step
  },
  'before the session is stored': ({ sessions }, step) => {
    sessions.beforeCreate = step
  },
}

for (const [change, run] of Object.entries(changes)) {
  for (const [moment, at] of Object.entries(moments)) {
    t.test(`a login fails and leaves no session if its account ${change} ${moment}`, async (t) => {
      const parts = await setUp(t)
      at(parts, () => run(parts))
      const response = await parts.issuer.login()
      t.equal(response.statusCode, 401)
      t.match(response.json(), { code: 'credentials_invalid' })
      t.same(await parts.live(), [])
      t.notOk(parts.issuer.audit().some(({ event }) => event === 'login.ok'))
    })
  }

  t.test(`a sign-in by page fails and leaves no session if its account ${change}`, async (t) => {
    const parts = await setUp(t)
    const visitor = new Visitor(parts.issuer)
    const page = await visitor.authorize()
    parts.sessions.beforeCreate = () => run(parts)
    const { answer, form } = await visitor.signIn(page, { password })
    t.equal(answer, null)
    t.not(form, null, 'the page asks again')
    t.same(await parts.live(), [])
  })
}
