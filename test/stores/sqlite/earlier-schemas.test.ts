import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { logStart } from '../../../src/stores/ports.ts'
import { SqliteAccountStore } from '../../../src/stores/sqlite/account-store.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'

/** A database as an earlier version has left it. */
function left(dir: string, version: number): string {
  const path = join(dir, 'gatepass.db')
  const db = new DatabaseSync(path)
  db.exec(readFileSync(new URL(`schema-${version}.sql`, import.meta.url), 'utf8'))
  db.close()
  return path
}

t.test('schema 1: accounts are found and can be changed', async (t) => {
  const store = new SqliteAccountStore(left(t.testdir(), 1))
  t.teardown(() => store.close())
  t.match(await store.findByLoginName('alice'), {
    sub: 'user-1',
    attributes: { name: 'Alice' },
    disabled: false,
    createdAtMs: t0,
  })
  t.ok(await store.setDisabled('user-1', true, t0 + 1))
  t.match(await store.findBySub('user-1'), { disabled: true, updatedAtMs: t0 + 1 })
})

t.test('schema 1: sessions go on as if nothing had happened', async (t) => {
  const path = left(t.testdir(), 1)
  const store = new SqliteSessionStore(path)
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
  t.match(await store.revocationsAfter(logStart, 10), [
    { kind: 'session', id: 'ended-session-00000000', atMs: t0 + 1 },
  ])
  t.ok(await store.revoke(live.sid, late, policy.revokedKeptMs))
  t.equal((await store.revocationsAfter(logStart, 10)).length, 2)
})

t.test(
  'schema 2: sessions are found under their numbers, with the keys they are bound to',
  async (t) => {
    const store = new SqliteSessionStore(left(t.testdir(), 2))
    t.teardown(() => store.close())
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

t.test('schema 3: sessions are as they were, and retries and replays are noted', async (t) => {
  const store = new SqliteSessionStore(left(t.testdir(), 3))
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

for (const [version, sessions] of [
  [1, 2],
  [2, 1],
  [3, 4],
] as const) {
  t.test(`schema ${version}: opened again, nothing is left to do`, async (t) => {
    const path = left(t.testdir(), version)
    await new SqliteSessionStore(path).close()
    const store = new SqliteSessionStore(path)
    t.teardown(() => store.close())
    t.equal((await store.listBySub('user-1', t0)).length, sessions)
  })
}
