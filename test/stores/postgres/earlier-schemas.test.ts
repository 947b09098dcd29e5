import { readFileSync } from 'node:fs'
import pg from 'pg'
import t from 'tap'
import { EncryptedKeyStore } from '../../../src/keys/encrypted-key-store.ts'
import { PostgresKeyStore } from '../../../src/keys/postgres-key-store.ts'
import { logStart } from '../../../src/stores/ports.ts'
import { PostgresAccountStore } from '../../../src/stores/postgres/account-store.ts'
import { PostgresSessionStore } from '../../../src/stores/postgres/session-store.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'

const server = await PostgresServer.start(t)

/** A database as an earlier version has left it, of the same owner. */
async function left(version: number): Promise<string> {
  const url = await server.createDatabase()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(readFileSync(new URL(`schema-${version}.sql`, import.meta.url), 'utf8'))
  await client.end()
  return url
}

t.test('schema 1: accounts are found and can be changed', async (t) => {
  const store = await PostgresAccountStore.open(await left(1), patient)
  t.teardown(() => store.close())
  t.match(await store.findByLoginName('alice'), {
    sub: 'user-1',
    attributes: { name: 'Alice' },
    disabled: false,
    createdAtMs: t0,
  })
  t.match(await store.findBySub('user-2'), { loginName: 'bob', disabled: true })
  t.ok(await store.setDisabled('user-1', true, t0 + 1))
  t.match(await store.findBySub('user-1'), { disabled: true, updatedAtMs: t0 + 1 })
})

t.test('schema 1: sessions go on as if nothing had happened', async (t) => {
  const store = await PostgresSessionStore.open(await left(1), patient)
  t.teardown(() => store.close())
  const live = session({ sid: 'live-session-000000000', scope: 'data:read' })
  t.same(await store.find(live.sid, t0), live)
  t.equal((await store.listBySub('user-1', t0)).length, 2)

  const late = t0 + policy.graceMs
  t.match(await store.rotate(rotation({ sid: live.sid, nowMs: late })), {
    outcome: 'rotated',
    session: { generation: 1, jkt: null },
  })
  const retry = { sid: 'keyed-session-00000000', generation: 4, nowMs: late }
  const idempotencyKey = Buffer.alloc(32, 7)
  t.match(await store.rotate(rotation({ ...retry, idempotencyKey })), { outcome: 'replayed' })
  t.match(await store.rotate(rotation({ sid: 'ended-session-00000000', nowMs: late })), {
    outcome: 'revoked',
  })
  const bound = session({ sid: 'bound-session-00000000', jkt: 'a'.repeat(43) })
  await store.create(bound)
  t.same(await store.find(bound.sid, t0), bound, 'and new ones have what the schema lacked')
})

t.test('schema 2: sessions are as they were, and retries and replays are noted', async (t) => {
  const store = await PostgresSessionStore.open(await left(2), patient)
  t.teardown(() => store.close())
  const key = Buffer.alloc(32, 7)
  const scope = 'data:read'
  const jkt = 'thumbprint-of-a-key'
  const [live, keyed, seen, bound] = [
    session({ sid: 'live-session-000000000', scope }),
    session({ sid: 'keyed-session-00000000', scope, generation: 5, idempotencyKey: key }),
    session({
      sid: 'seen-session-000000000',
      scope,
      generation: 5,
      presented: true,
      idempotencyKey: key,
    }),
    session({ sid: 'bound-session-00000000', scope, jkt }),
  ] as const
  for (const one of [live, keyed, seen, bound]) t.same(await store.find(one.sid, t0), one)
  t.same(await store.listBySub('user-1', t0), [bound, keyed, live, seen])

  const other = Buffer.alloc(32, 8)
  const late = t0 + policy.graceMs
  const send = async (sid: string, generation: number, idempotencyKey: Buffer, nowMs: number) =>
    (await store.rotate(rotation({ sid, generation, idempotencyKey, nowMs }))).outcome
  t.equal(await send(keyed.sid, 4, key, late), 'replayed', 'a retry')
  t.equal(await send(keyed.sid, 4, other, late + 1), 'replayed', 'another tab')
  t.equal(await send(live.sid, 0, key, late - 1), 'replayed')
  t.equal(await send(live.sid, 0, key, late), 'replayed', 'a copy')
  t.equal(await send(seen.sid, 4, key, late), 'reused')
  t.same(await store.find(keyed.sid, late), {
    ...keyed,
    firstRetryAtMs: late,
    lastRetryAtMs: late,
    otherKey: other,
  })
  t.same(await store.find(live.sid, late), {
    ...live,
    presented: true,
    replayKeys: key.subarray(0, 4),
    lateReplayAtMs: late,
  })
})

t.test('schema 1: the revocation log goes on behind its end', async (t) => {
  const store = await PostgresSessionStore.open(await left(1), patient)
  t.teardown(() => store.close())
  const before = await store.revocationsAfter(logStart, 10)
  t.match(before, [
    { kind: 'session', id: 'ended-session-00000000', atMs: t0 + 1 },
    { kind: 'user', id: 'user-3', atMs: t0 + 2 },
  ])
  await store.revokeAll('user-1', t0, policy.revokedKeptMs)
  const behind = await store.revocationsAfter(before.at(-1)?.position ?? '', 10)
  t.match(behind, [{ kind: 'user', id: 'user-1' }])
})

t.test('schema 1: keys are opened, and one that was revoked stays so', async (t) => {
  const store = await PostgresKeyStore.open(await left(1), patient)
  const vault = new EncryptedKeyStore(store, ['a-secret-of-at-least-thirty-two-characters'])
  t.teardown(() => vault.close())
  const keys = (await vault.list()).toSorted((a, b) => a.name.localeCompare(b.name))
  t.match(keys, [
    // This one was in the clear.
    { name: 'epoch-1-ES256', revokedAtMs: t0 + 1, isCurrent: false },
    { name: 'epoch-2-ES256', revokedAtMs: null, isCurrent: true, activateAtMs: t0 },
  ])
  await vault.reencrypt(keys)
  t.ok((await vault.list()).every(({ isCurrent }) => isCurrent))
})

t.test('schema 1: two issuers that start at once bring it up to date once', async (t) => {
  const url = await left(1)
  const stores = await Promise.all([1, 2].map(() => PostgresSessionStore.open(url, patient)))
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  for (const store of stores) t.equal((await store.listBySub('user-1', t0)).length, 2)
  const [found] = await server.query(
    `SELECT count(*)::int AS count FROM gatepass.migrations WHERE schema = 'sessions'`,
    url,
  )
  t.equal(found?.count, 5)
})
