import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { digest, randomId } from '../../../src/core/secrets.ts'
import { followUpMs, logStart, type Session } from '../../../src/stores/ports.ts'
import { PostgresSessionStore } from '../../../src/stores/postgres/session-store.ts'
import { decideRotation } from '../../../src/stores/rotation.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import fc from '../../support/properties.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'
import { sessionStoreContract } from '../session-store-contract.ts'
import { sessionWorld } from '../session-world.ts'

const server = await PostgresServer.start(t, {
  settings: { max_connections: '200', deadlock_timeout: '500ms' },
})

sessionStoreContract(t, async () =>
  PostgresSessionStore.open(await server.createDatabase(), patient),
)

sessionWorld(t, async () => {
  const url = await server.createDatabase()
  const store = await PostgresSessionStore.open(url, patient)
  const other = await server.connect(url)
  t.teardown(() => other.end())
  return {
    store,
    rollBack: async (old: Session) => {
      await other.query('DELETE FROM gatepass.sessions WHERE sid = $1', [old.sid])
      await store.create(old)
    },
  }
})

/** Opens stores on a new database, and another connection to it. */
async function open(t: Test, stores = 1) {
  const url = await server.createDatabase()
  const opened: PostgresSessionStore[] = []
  for (let n = 0; n < stores; n++) opened.push(await PostgresSessionStore.open(url, patient))
  const other = await server.connect(url)
  t.teardown(async () => {
    await other.end()
    await Promise.all(opened.map((store) => store.close()))
  })
  const [store] = opened
  if (store === undefined) throw new Error('none was opened')
  return { url, store, stores: opened, other }
}

t.test('property: a rotation decides like `decideRotation` at every boundary', async (t) => {
  const { store } = await open(t)
  const { graceMs, idleMs } = policy
  const step = fc.record({
    waitMs: fc.constantFrom(0, 1, -1, graceMs - 1, graceMs, -graceMs, idleMs - 1, idleMs),
    ahead: fc.constantFrom(0, 0, 0, -1, -1, -1, 1, -2, 1_000_000_000),
    key: fc.constantFrom(null, digest('a'), digest('a'), digest('b'), digest('c')),
    graceMs: fc.constantFrom(graceMs, graceMs, 0),
  })
  const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
    let expected = session({ sid: randomId(), endsAtMs: t0 + 2 * idleMs })
    await store.create(expected)
    let nowMs = t0
    for (const { waitMs, ahead, key, graceMs } of steps) {
      nowMs += waitMs
      const generation = Math.max(0, expected.generation + ahead)
      const rules = { sid: expected.sid, policy: { ...policy, graceMs } }
      const request = rotation({ ...rules, generation, idempotencyKey: key, nowMs })
      const decision = decideRotation(expected, request)
      if (!isDeepStrictEqual(await store.rotate(request), decision)) return false
      expected = decision.session
      const isLive = expected.revokedAtMs === null && nowMs < expected.expiresAtMs
      const found = await store.find(expected.sid, nowMs)
      if (!isDeepStrictEqual(found, isLive ? expected : null)) return false
    }
    return true
  })
  await fc.assert(property, { numRuns: 100 })
})

t.test('requests that wait for a row decide by its new version', async (t) => {
  const { url, stores, other } = await open(t, 5)
  const one = session({ sid: randomId() })
  await stores[0]?.create(one)
  await other.query('BEGIN')
  await other.query('SELECT 1 FROM gatepass.sessions WHERE sid = $1 FOR UPDATE', [one.sid])
  const nowMs = t0 + policy.graceMs
  const request = rotation({ sid: one.sid, nowMs })
  const results = Promise.all(
    stores.flatMap((store) => Array.from({ length: 10 }, () => store.rotate(request))),
  )
  await server.untilBlocked(stores.length, url)
  await other.query('UPDATE gatepass.sessions SET generation = 1, minted_at_ms = $1', [nowMs])
  await other.query('COMMIT')
  for (const result of await results) {
    t.match(result, { outcome: 'replayed', session: { generation: 1 } })
  }
})

t.test('rotations of one turn share their statements', async (t) => {
  const url = await server.createDatabase()
  const options = { ...patient, maxConnections: 1, maxWaiting: 0 }
  const store = closedWith(t, await PostgresSessionStore.open(url, options))
  const all = Array.from({ length: 20 }, () => session({ sid: randomId(), generation: 5 }))
  for (const one of all) await store.create(one)
  const nowMs = t0 + policy.graceMs
  const requests = all.map(({ sid }, n) => ({ sid, generation: n < 10 ? 5 : 2, nowMs }))
  const sids = [...all.map(({ sid }) => sid), 'unknown', 'not\0storable']
  const found = await Promise.all(sids.map((sid) => store.find(sid, nowMs)))
  t.same(found, [...all, null, null])
  const results = await Promise.all(requests.map((one) => store.rotate(rotation(one))))
  const outcomes = results.map(({ outcome }) => outcome)
  t.same(outcomes, [...Array(10).fill('rotated'), ...Array(10).fill('reused')])
  const log = await store.revocationsAfter(logStart, 100)
  const reused = all.slice(10).map(({ sid }) => sid)
  t.same(log.map(({ id }) => id).toSorted(), reused.toSorted())
  t.equal(new Set(log.map(({ position }) => position)).size, 10, 'each has a position of its own')
})

t.test('the log is cleaned although sessions cannot be', async (t) => {
  const { store, other } = await open(t)
  await store.appendRevocation('all', '', t0, 0)
  const entries = () => store.revocationsAfter(logStart, 1)
  const [entry] = await entries()
  await other.query('ALTER TABLE gatepass.sessions RENAME TO elsewhere')
  const removing = store.removeExpired((entry?.expiresAtMs ?? 0) + followUpMs, 10)
  await t.rejects(removing, { code: 'store_unavailable' })
  await until('the log is empty', async () => (await entries()).length === 0)
})

t.test('of many concurrent rotations, one mints', async (t) => {
  const { stores } = await open(t, 5)
  const one = session({ sid: randomId() })
  await stores[0]?.create(one)
  const outcomesOf = async (nowMs: number) => {
    const requests = stores.flatMap((store) =>
      Array.from({ length: 10 }, (_, n) =>
        store.rotate(rotation({ sid: one.sid, idempotencyKey: digest(`${n}`), nowMs })),
      ),
    )
    return (await Promise.all(requests)).map(({ outcome }) => outcome).toSorted()
  }
  const replayed = Array.from({ length: 49 }, () => 'replayed')
  t.same(await outcomesOf(t0 + policy.graceMs), [...replayed, 'rotated'])
  t.same(await outcomesOf(t0 + policy.graceMs + 1), [...replayed, 'replayed'])
})

t.test('of many concurrent reuses, one appends to the log', async (t) => {
  const { url, stores, other } = await open(t, 2)
  const store = stores[0]
  const one = session({ sid: randomId(), generation: 5 })
  await store?.create(one)
  await other.query('BEGIN')
  await other.query('SELECT 1 FROM gatepass.sessions FOR UPDATE')
  const request = rotation({ sid: one.sid, generation: 2 })
  const results = stores.flatMap((store) => Array.from({ length: 8 }, () => store.rotate(request)))
  await server.untilBlocked(stores.length, url)
  await other.query('COMMIT')
  const outcomes = (await Promise.all(results)).map(({ outcome }) => outcome)
  t.same(outcomes.toSorted(), ['reused', ...Array.from({ length: 15 }, () => 'revoked')])
  t.match(await store?.revocationsAfter(logStart, 10), [{ kind: 'session', id: one.sid }])
  t.equal((await store?.revocationsAfter(logStart, 10))?.length, 1)
})

t.test('entries of the log appear in the order of their positions', async (t) => {
  const { url, store: reader, stores, other } = await open(t, 5)
  const writers = stores.slice(1)
  const all = Array.from({ length: 8 }, (_, n) =>
    session({ sid: randomId(), sub: `user-${n}`, generation: 5 }),
  )
  await Promise.all(all.map((one) => reader.create(one)))
  // A transaction has taken a position and has not committed.
  await other.query('BEGIN')
  await other.query('UPDATE gatepass.revocations_end SET position = position + 10')
  const writes = all.flatMap(({ sid, sub }, n) => {
    const replica = writers[n % 4] ?? reader
    return [
      replica.revoke(sid, t0, policy.revokedKeptMs),
      replica.revokeAll(sub, t0, policy.revokedKeptMs),
      replica.appendRevocation('all', '', t0, policy.revokedKeptMs),
      replica.appendRevocation('key', sid, t0, policy.revokedKeptMs),
      replica.rotate(rotation({ sid, generation: 2 })),
    ]
  })
  // The two rotations of each replica share a statement.
  await server.untilBlocked(writes.length - writers.length, url)
  t.same(await reader.revocationsAfter(logStart, 100), [], 'none comes before it')
  await other.query('COMMIT')
  await Promise.all(writes)
  const log = await reader.revocationsAfter(logStart, 100)
  const kinds = Map.groupBy(log, ({ kind }) => kind)
  for (const kind of ['user', 'all', 'key'] as const) t.equal(kinds.get(kind)?.length, 8)
  const ended = kinds.get('session')?.map(({ id }) => id) ?? []
  t.same(ended, [...new Set(ended)], 'a session ends once')
  const positions = log.map(({ position }) => Number(position))
  t.same(
    positions,
    [...new Set(positions)].toSorted((a, b) => a - b),
  )
})

t.test('positions continue after those that a fail-over has lost', async (t) => {
  const { store, other } = await open(t)
  await store.revokeAll('user-1', t0, policy.revokedKeptMs)
  const [lost] = await store.revocationsAfter(logStart, 10)
  await other.query('DELETE FROM gatepass.revocations')
  await other.query('UPDATE gatepass.revocations_end SET position = 0')
  await store.revokeAll('user-2', t0, policy.revokedKeptMs)
  t.match(await store.revocationsAfter(lost?.position ?? '', 10), [{ id: 'user-2' }])
  t.match(await store.revocationsAfter('of another store', 10), [{ id: 'user-2' }])
})

t.test('a reader misses no entry of a new primary whose clock is behind', async (t) => {
  const { store, other } = await open(t)
  const kept = policy.revokedKeptMs
  await store.revokeAll('user-1', t0, kept)
  await other.query('UPDATE gatepass.revocations_end SET position = position + 60000')
  await store.revokeAll('user-2', t0, kept)
  const [, lost] = await store.revocationsAfter(logStart, 10)
  await other.query(`DELETE FROM gatepass.revocations WHERE id = 'user-2'`)
  await other.query(
    'UPDATE gatepass.revocations_end SET position = (SELECT max(position) FROM gatepass.revocations)',
  )
  await store.revokeAll('user-3', t0, kept)
  const next = await store.revocationsAfter(lost?.position ?? '', 10)
  t.match(next, [{ id: 'user-1' }, { id: 'user-3' }])
  t.same(await store.revocationsAfter(next.at(-1)?.position ?? '', 10), [])
})

t.test('rotations do not depend on the isolation level of the database', async (t) => {
  const url = await server.createDatabase()
  const name = new URL(url).pathname.slice(1)
  await server.query(`ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`)
  const store = closedWith(t, await PostgresSessionStore.open(url, patient))
  const one = session({ sid: randomId() })
  await store.create(one)
  const request = rotation({ sid: one.sid, nowMs: t0 + policy.graceMs })
  const results = await Promise.all(Array.from({ length: 50 }, () => store.rotate(request)))
  t.equal(results.filter(({ outcome }) => outcome === 'rotated').length, 1)
})

t.test('a statement is repeated after a deadlock', async (t) => {
  const { url, store, other } = await open(t)
  const [a, b] = ['a', 'b'].map((sid) => session({ sid: sid.repeat(22) }))
  if (a === undefined || b === undefined) throw new Error('there are two')
  await Promise.all([store.create(a), store.create(b)])
  // Postgres ends the connection that detects the deadlock, which must not be this one.
  await other.query(`SET deadlock_timeout = '1min'`)
  await other.query('BEGIN')
  const touch = 'UPDATE gatepass.sessions SET user_agent = $2 WHERE sid = $1'
  await other.query(touch, [b.sid, 'touched'])
  const ended = store.revokeAll(a.sub, t0, policy.revokedKeptMs)
  await server.untilBlocked(1, url)
  await other.query(touch, [a.sid, 'touched'])
  await other.query('COMMIT')
  t.equal(await ended, 2)
  t.equal((await store.revocationsAfter(logStart, 10)).length, 1)
  // Postgres reports the statistics of a connection once it is closed.
  await store.close()
  await server.untilAlone(url)
  const [found] = await server.query(`SELECT deadlocks::int FROM pg_stat_database
    WHERE datname = '${new URL(url).pathname.slice(1)}'`)
  t.ok(Number(found?.deadlocks) > 0, 'there was one')
})

t.test('a session that is refreshed during the removal of expired rows stays', async (t) => {
  const { url, store, other } = await open(t)
  const all = ['kept', 'gone'].map((sub) =>
    session({ sid: randomId(), sub, expiresAtMs: t0 + 1_000 }),
  )
  for (const one of all) await store.create(one)
  await other.query('BEGIN')
  await other.query(`UPDATE gatepass.sessions SET expires_at_ms = $1 WHERE sub = 'kept'`, [
    t0 + 9_000,
  ])
  const swept = store.removeExpired(t0 + 5_000, 10)
  await server.untilBlocked(1, url)
  await other.query('COMMIT')
  await swept
  t.equal((await store.listBySub('kept', t0 + 5_000)).length, 1)
  const { rows } = await other.query('SELECT sub FROM gatepass.sessions')
  t.same(rows, [{ sub: 'kept' }])
})

t.test('the removal of expired rows reaches every row, whatever changes', async (t) => {
  const { store } = await open(t)
  const all = Array.from({ length: 300 }, (_, n) =>
    session({ sid: randomId(), expiresAtMs: t0 + (n % 3 === 0 ? 1_000 : policy.idleMs) }),
  )
  await Promise.all(all.map((one) => store.create(one)))
  let slices = 1
  while (await store.removeExpired(t0 + 5_000, 20)) {
    slices++
    const refreshed = all[slices * 15 + 1]
    if (refreshed !== undefined) await store.rotate(rotation({ sid: refreshed.sid, nowMs: t0 }))
  }
  t.ok(slices >= 300 / 20, `${slices} slices`)
  t.equal((await store.listBySub('user-1', t0)).length, 200)
})

t.test('invariant 2: a session is one row, and a refresh keeps it on its page', async (t) => {
  const { url, store, other } = await open(t)
  const all = Array.from({ length: 200 }, () => session({ sid: randomId() }))
  await Promise.all(all.map((one) => store.create(one)))
  for (let generation = 0; generation < 10; generation++) {
    const nowMs = t0 + (generation + 1) * 20_000
    await Promise.all(all.map(({ sid }) => store.rotate(rotation({ sid, generation, nowMs }))))
  }
  // Postgres reports the statistics of a connection once it is closed.
  await store.close()
  await server.untilAlone(url)
  const { rows } = await other.query(
    `SELECT (SELECT count(*)::int FROM gatepass.sessions) AS rows,
       n_tup_upd::int AS updates, n_tup_hot_upd::int AS heap_only
     FROM pg_stat_user_tables WHERE relname = 'sessions'`,
  )
  t.equal(rows[0].rows, 200)
  t.ok(rows[0].updates > 1_800, `${rows[0].updates} updates`)
  t.ok(rows[0].heap_only > 0.9 * rows[0].updates, `${rows[0].heap_only} of them heap-only`)
})

t.test('no call scans the whole table', async (t) => {
  const { url, store, other } = await open(t)
  const all = Array.from({ length: 3_000 }, (_, n) =>
    session({ sid: randomId(), sub: `user-${n % 1_000}` }),
  )
  for (let n = 0; n < all.length; n += 500) {
    await Promise.all(all.slice(n, n + 500).map((one) => store.create(one)))
  }
  await other.query('ANALYZE gatepass.sessions')
  const scans = async () => {
    const { rows } = await other.query(
      `SELECT seq_scan::int AS scans FROM pg_stat_user_tables WHERE relname = 'sessions'`,
    )
    return rows[0].scans
  }
  const before = await scans()
  for (let n = 0; n < 20; n++) {
    t.equal((await store.listBySub(`user-${n}`, t0)).length, 3)
    await store.find(all[n]?.sid ?? '', t0)
    await store.rotate(rotation({ sid: all[n]?.sid ?? '' }))
    await store.revoke(all[n]?.sid ?? '', t0, 1)
    await store.revokeAll(`user-${n}`, t0, 1)
    await store.removeExpired(t0, 10)
  }
  // Postgres reports the statistics of a connection once it is closed.
  await store.close()
  await server.untilAlone(url)
  t.equal(await scans(), before, 'the table was never read from end to end')
})
