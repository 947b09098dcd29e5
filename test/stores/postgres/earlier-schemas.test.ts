import { readFileSync } from 'node:fs'
import pg from 'pg'
import t from 'tap'
import { EncryptedKeyStore } from '../../../src/keys/encrypted-key-store.ts'
import { PostgresKeyStore } from '../../../src/keys/postgres-key-store.ts'
import { logStart } from '../../../src/stores/ports.ts'
import { PostgresAccountStore } from '../../../src/stores/postgres/account-store.ts'
import { PostgresSessionStore } from '../../../src/stores/postgres/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { policy, session, t0 } from '../../support/sessions.ts'
import { keepsAccounts, keepsFirstSessions, storesRetriesAndReplays } from '../earlier-schemas.ts'

const server = await PostgresServer.start(t)

/** Creates a database of an earlier version, with the same owner. */
async function databaseOf(version: number): Promise<string> {
  const url = await server.createDatabase()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(readFileSync(new URL(`schema-${version}.sql`, import.meta.url), 'utf8'))
  await client.end()
  return url
}

t.test('schema 1: accounts are found and can be changed', async (t) => {
  const store = closedWith(t, await PostgresAccountStore.open(await databaseOf(1), patient))
  await keepsAccounts(t, store)
  t.match(await store.findBySub('user-2'), { loginName: 'bob', disabled: true })
})

t.test('schema 1: sessions are refreshed, and new ones may be bound to a key', async (t) => {
  const store = closedWith(t, await PostgresSessionStore.open(await databaseOf(1), patient))
  await keepsFirstSessions(t, store)
  const bound = session({ sid: 'bound-session-00000000', jkt: 'a'.repeat(43) })
  await store.create(bound)
  t.same(await store.find(bound.sid, t0), bound)
})

t.test('schema 2: sessions are unchanged, and store retries and replays', async (t) => {
  const store = closedWith(t, await PostgresSessionStore.open(await databaseOf(2), patient))
  await storesRetriesAndReplays(t, store)
})

t.test('schema 1: the revocation log continues after its last entry', async (t) => {
  const store = closedWith(t, await PostgresSessionStore.open(await databaseOf(1), patient))
  const before = await store.revocationsAfter(logStart, 10)
  t.match(before, [
    { kind: 'session', id: 'ended-session-00000000', atMs: t0 + 1 },
    { kind: 'user', id: 'user-3', atMs: t0 + 2 },
  ])
  await store.revokeAll('user-1', t0, policy.revokedKeptMs)
  const behind = await store.revocationsAfter(before.at(-1)?.position ?? '', 10)
  t.match(behind, [{ kind: 'user', id: 'user-1' }])
})

t.test('schema 1: keys are decrypted, and a revoked key stays revoked', async (t) => {
  const store = await PostgresKeyStore.open(await databaseOf(1), patient)
  const keyStore = new EncryptedKeyStore(store, ['a-secret-of-at-least-thirty-two-characters'])
  t.teardown(() => keyStore.close())
  const keys = (await keyStore.list()).toSorted((a, b) => a.name.localeCompare(b.name))
  t.match(keys, [
    { name: 'epoch-1-ES256', revokedAtMs: t0 + 1, isCurrent: true },
    { name: 'epoch-2-ES256', revokedAtMs: null, isCurrent: true, activateAtMs: t0 },
  ])
})

t.test('schema 1: two issuers that start at the same time migrate it once', async (t) => {
  const url = await databaseOf(1)
  const stores = await Promise.all([1, 2].map(() => PostgresSessionStore.open(url, patient)))
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  for (const store of stores) t.equal((await store.listBySub('user-1', t0)).length, 2)
  const [found] = await server.query(
    `SELECT count(*)::int AS count FROM gatepass.migrations WHERE schema = 'sessions'`,
    url,
  )
  t.equal(found?.count, 5)
})
