import type { Test } from 'tap'
import type { AccountStore, SessionStore } from '../../src/stores/ports.ts'
import { policy, rotation, session, t0 } from '../support/sessions.ts'

/** Assertions about databases of earlier schemas (schema-*.sql), the same for SQLite and Postgres. */

const scope = 'data:read'
const key = Buffer.alloc(32, 7)
const late = t0 + policy.graceMs

/** The accounts of schema 1 are found and can be changed. */
export async function keepsAccounts(t: Test, store: AccountStore): Promise<void> {
  t.match(await store.findByLoginName('alice'), {
    sub: 'user-1',
    attributes: { name: 'Alice' },
    disabled: false,
    createdAtMs: t0,
  })
  t.ok(await store.setDisabled('user-1', true, t0 + 1))
  t.match(await store.findBySub('user-1'), { disabled: true, updatedAtMs: t0 + 1 })
}

/** The sessions of schema 1, without retries and bound keys, are refreshed. */
export async function keepsFirstSessions(t: Test, store: SessionStore): Promise<void> {
  const live = session({ sid: 'live-session-000000000', scope })
  t.same(await store.find(live.sid, t0), live)
  t.equal((await store.listBySub('user-1', t0)).length, 2)
  t.match(await store.rotate(rotation({ sid: live.sid, nowMs: late })), {
    outcome: 'rotated',
    session: { generation: 1, jkt: null },
  })
  const retry = { sid: 'keyed-session-00000000', generation: 4, nowMs: late }
  t.match(await store.rotate(rotation({ ...retry, idempotencyKey: key })), { outcome: 'replayed' })
  t.match(await store.rotate(rotation({ sid: 'ended-session-00000000', nowMs: late })), {
    outcome: 'revoked',
  })
}

/** Sessions of a schema without retries and replays are unchanged, and store both. */
export async function storesRetriesAndReplays(t: Test, store: SessionStore): Promise<void> {
  const jkt = 'thumbprint-of-a-key'
  const minted = { scope, generation: 5, idempotencyKey: key }
  const [live, keyed, seen, bound] = [
    session({ sid: 'live-session-000000000', scope }),
    session({ sid: 'keyed-session-00000000', ...minted }),
    session({ sid: 'seen-session-000000000', ...minted, presented: true }),
    session({ sid: 'bound-session-00000000', scope, jkt }),
  ] as const
  for (const one of [live, keyed, seen, bound]) t.same(await store.find(one.sid, t0), one)
  t.same(await store.listBySub('user-1', t0), [bound, keyed, live, seen])

  const other = Buffer.alloc(32, 8)
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
}
