import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { type User, Users } from '../../examples/user-base/users.ts'
import { freePort } from '../../scripts/free-port.ts'
import type { AccountStore, SessionStore } from '../../src/stores/ports.ts'
import { PostgresAccountStore } from '../../src/stores/postgres/account-store.ts'
import { PostgresSessionStore } from '../../src/stores/postgres/session-store.ts'
import { RedisSessionStore } from '../../src/stores/redis/session-store.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/account-store.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { WebhookAccountStore } from '../../src/stores/webhook/account-store.ts'
import { secret, startUserBase } from '../stores/webhook/support.ts'
import { bearer, startIssuer } from '../support/issuer.ts'
import { patient } from '../support/patience.ts'
import { PostgresServer } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { policy } from '../support/sessions.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** Sessions of accounts that are deleted or disabled behind the issuer's back (attack I13). */

const cookieName = '__Host-gatepass'

/** Accounts, and how somebody else deletes or disables one. */
interface Accounts {
  readonly store: AccountStore
  remove(sub: string): Promise<unknown>
  disable(sub: string): Promise<unknown>
}

class ChangingUsers extends Users {
  readonly #removed = new Set<string>()

  remove(sub: string): void {
    this.#removed.add(sub)
  }

  override findBySub(sub: string): User | null {
    return this.#removed.has(sub) ? null : super.findBySub(sub)
  }
}

const postgres = await PostgresServer.start(t)
const redis = await startRedis(t)

const accountStores = {
  SQLite: async (t: Test) => {
    const path = join(createTestFolder(t), 'users.db')
    const store = new SqliteAccountStore(path)
    const db = new DatabaseSync(path)
    t.teardown(() => db.close())
    return {
      store,
      remove: async (sub) => db.prepare('DELETE FROM accounts WHERE sub = ?').run(sub),
      disable: async (sub) => db.prepare('UPDATE accounts SET disabled = 1 WHERE sub = ?').run(sub),
    }
  },
  Postgres: async (t: Test) => {
    const url = await postgres.createDatabase()
    const store = await PostgresAccountStore.open(url, patient)
    const other = await postgres.connect(url)
    t.teardown(() => other.end())
    return {
      store,
      remove: (sub) => other.query('DELETE FROM gatepass.accounts WHERE sub = $1', [sub]),
      disable: (sub) =>
        other.query('UPDATE gatepass.accounts SET disabled = true WHERE sub = $1', [sub]),
    }
  },
  webhook: async (t: Test) => {
    const users = new ChangingUsers()
    const { url } = await startUserBase(t, { users })
    return {
      store: new WebhookAccountStore({ url, secrets: [secret] }),
      remove: async (sub) => users.remove(sub),
      disable: async (sub) => users.change(sub, { disabled: true }, () => true),
    }
  },
} satisfies Record<string, (t: Test) => Promise<Accounts>>

const sessionStores = {
  SQLite: async (t: Test) => new SqliteSessionStore(join(createTestFolder(t), 'signed-in.db')),
  Postgres: async (_t: Test) => PostgresSessionStore.open(await postgres.createDatabase(), patient),
  Redis: async (_t: Test) => {
    await redis.ask('FLUSHALL')
    return RedisSessionStore.open(redis.url, patient)
  },
} satisfies Record<string, (t: Test) => Promise<SessionStore>>

for (const [inAccounts, inSessions] of [
  ['SQLite', 'SQLite'],
  ['Postgres', 'Postgres'],
  ['webhook', 'Redis'],
] as const) {
  for (const [what, change, reason] of [
    ['deleted', 'remove', 'account_not_found'],
    ['disabled', 'disable', 'account_disabled'],
  ] as const) {
    const names = `accounts in ${inAccounts}, sessions in ${inSessions}`
    t.test(`I13, ${names}: an account that is ${what} ends all sessions of the user`, async (t) => {
      const accounts = await accountStores[inAccounts](t)
      const sessions = await sessionStores[inSessions](t)
      const startMs = Date.now()
      const issuer = await startIssuer(t, { accounts: accounts.store, sessions, startMs })
      const [one, other] = [await issuer.signIn(), await issuer.signIn()]
      const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
      t.equal((await issuer.refresh(one.refresh_token)).statusCode, 200)
      await accounts[change](sub)

      const headers = bearer(one.access_token)
      t.match((await issuer.call({ url: '/me', headers })).json(), { code: 'token_revoked' })
      const refused = await issuer.call({
        method: 'POST',
        url: '/refresh',
        cookies: { [cookieName]: one.refresh_token },
      })
      t.match(refused.json(), { status: 401, code: 'refresh_token_revoked' })
      t.match(refused.cookies, [{ name: cookieName, value: /^$/ }], 'its cookie is of no use')
      const { session_id: sid } = one
      t.match(issuer.audit().slice(-2), [
        { event: 'session.revoked', sub, sid, reason, count: 2 },
        { event: 'refresh.refused', sub, sid, reason, client_id: 'web' },
      ])

      t.match(issuer.revocations.entriesAfter(), [
        { kind: 'session', id: sid },
        { kind: 'session', id: other.session_id },
        { kind: 'user', id: sub },
      ])
      for (const { refresh_token } of [one, other]) {
        const again = await issuer.refresh(refresh_token)
        t.match(again.json(), { status: 401, code: 'refresh_token_revoked' })
      }
      t.same(await sessions.listBySub(sub, issuer.clock.nowMs()), [])
    })
  }
}

t.test(
  'while the account store is unavailable a refresh is 503 and the session stays valid',
  async (t) => {
    const port = await freePort()
    const { url, server } = await startUserBase(t, {}, port)
    const issuer = await startIssuer(t, {
      accounts: new WebhookAccountStore({ url, secrets: [secret] }),
    })
    const { refresh_token } = await issuer.signIn()
    issuer.clock.advanceMs(policy.graceMs)
    server.close()
    server.closeAllConnections()
    for (let again = 0; again < 2; again++) {
      const refused = await issuer.refresh(refresh_token)
      t.match(refused.json(), { status: 503, code: 'store_unavailable' })
      t.ok(refused.headers['retry-after'])
      // Without an Idempotency-Key: had the token been replaced, this would be reuse.
      issuer.clock.advanceMs(2 * policy.graceMs)
    }
    t.same(await issuer.sessions.revocationsAfter('', 10), [])
    await new Promise<void>((resolve) => {
      server.listen(port, '127.0.0.1', resolve)
    })
    const answer = await issuer.refresh(refresh_token)
    t.equal(answer.statusCode, 200)
    t.match(answer.json(), { refresh_token: /\.1\./ })
  },
)

t.test('a refresh reads the account once, a login twice', async (t) => {
  const store = new SqliteAccountStore(':memory:')
  const issuer = await startIssuer(t, { accounts: store })
  let reads = 0
  for (const name of ['findBySub', 'findByLoginName'] as const) {
    const read = store[name].bind(store)
    store[name] = (key) => {
      reads += 1
      return read(key)
    }
  }
  const { refresh_token } = await issuer.signIn({ scope: 'profile' })
  t.equal(reads, 2)
  issuer.clock.advanceMs(policy.graceMs)
  t.equal((await issuer.refresh(refresh_token)).statusCode, 200)
  t.equal(reads, 3)
})
