import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { logStart } from '../../../src/stores/ports.ts'
import { SqliteAccountStore } from '../../../src/stores/sqlite/account-store.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { keepsAccounts, keepsFirstSessions, storesRetriesAndReplays } from '../earlier-schemas.ts'

/** Creates a database of an earlier version. */
function databaseOf(dir: string, version: number): string {
  const path = join(dir, 'gatepass.db')
  const db = new DatabaseSync(path)
  db.exec(readFileSync(new URL(`schema-${version}.sql`, import.meta.url), 'utf8'))
  db.close()
  return path
}

t.test('schema 1: accounts are found and can be changed', async (t) => {
  const store = closedWith(t, new SqliteAccountStore(databaseOf(createTestFolder(t), 1)))
  await keepsAccounts(t, store)
})

t.test('schema 1: sessions are refreshed, and the revocation log continues', async (t) => {
  const store = closedWith(t, new SqliteSessionStore(databaseOf(createTestFolder(t), 1)))
  await keepsFirstSessions(t, store)
  t.match(await store.revocationsAfter(logStart, 10), [
    { kind: 'session', id: 'ended-session-00000000', atMs: t0 + 1 },
  ])
  t.ok(await store.revoke('live-session-000000000', t0, policy.revokedKeptMs))
  t.equal((await store.revocationsAfter(logStart, 10)).length, 2)
})

t.test(
  'schema 2: sessions are found by their numbers, with the keys that they are bound to',
  async (t) => {
    const store = closedWith(t, new SqliteSessionStore(databaseOf(createTestFolder(t), 2)))
    const jkt = 'thumbprint-of-a-key'
    const bound = session({ sid: 'bound-session-00000000', scope: 'data:read', jkt })
    t.same(await store.find(bound.sid, t0), bound)
    t.same(await store.listBySub('user-1', t0), [bound])
    const request = rotation({ sid: bound.sid, nowMs: t0 + policy.graceMs })
    t.match(await store.rotate(request), { outcome: 'unproven' })
    t.match(await store.rotate({ ...request, jkt }), { outcome: 'rotated' })
    const ended = rotation({ sid: 'ended-session-00000000' })
    t.match(await store.rotate(ended), { outcome: 'revoked' })
    await store.removeExpired(t0 + 1 + policy.revokedKeptMs, 100)
    t.match(await store.rotate(ended), { outcome: 'unknown' })
  },
)

t.test('schema 3: sessions are unchanged, and store retries and replays', async (t) => {
  const store = closedWith(t, new SqliteSessionStore(databaseOf(createTestFolder(t), 3)))
  await storesRetriesAndReplays(t, store)
})

for (const [version, sessions] of [
  [1, 2],
  [2, 1],
  [3, 4],
] as const) {
  t.test(`schema ${version}: the database opens a second time`, async (t) => {
    const path = databaseOf(createTestFolder(t), version)
    await new SqliteSessionStore(path).close()
    const store = closedWith(t, new SqliteSessionStore(path))
    t.equal((await store.listBySub('user-1', t0)).length, sessions)
  })
}
