import { join } from 'node:path'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/secrets.ts'
import { SessionDataCleanup } from '../../src/issuer/session-data-cleanup.ts'
import { Sessions } from '../../src/issuer/sessions.ts'
import { type DataStore, type DataWrite, dataOwner } from '../../src/stores/data-store.ts'
import type { SessionStore } from '../../src/stores/ports.ts'
import { RedisDataStore } from '../../src/stores/redis/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { FakeClock } from '../support/clock.ts'
import { patient } from '../support/patience.ts'
import { startRedis } from '../support/redis.ts'
import { policy, session, t0 } from '../support/sessions.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const issuer = 'https://auth.example.com'
const closedMs = 365_000
const keptMs = 3_600_000
const forever = t0 + 1_000 * keptMs

async function setUp(t: Test, given?: DataStore) {
  const clock = new FakeClock(t0)
  const folder = createTestFolder(t)
  const sessions = new SqliteSessionStore(join(folder, 'sessions.db'))
  const real = given ?? new SqliteDataStore(join(folder, 'data.db'))
  t.teardown(() => Promise.all([sessions.close(), real.close()]))
  const ended: string[] = []
  let isUnavailable = false
  /** Owners on a node that is down. */
  const unreachable = new Set<string>()
  const data: Pick<DataStore, 'end'> = {
    end: async (owner, ...rest) => {
      if (isUnavailable || unreachable.has(owner.id)) throw new GatepassError('store_unavailable')
      await real.end(owner, ...rest)
      ended.push(owner.id)
    },
  }
  const failures: unknown[] = []
  const open = () => {
    const options = { data, sessions, issuer, clock, closedMs }
    const cleanup = new SessionDataCleanup({
      ...options,
      onFailure: (error) => failures.push(error),
    })
    t.teardown(() => cleanup.close())
    return cleanup
  }
  return {
    clock,
    sessions,
    data: real,
    ended,
    failures,
    unreachable,
    open,
    setUnavailable: (value: boolean) => {
      isUnavailable = value
    },
    /** A session that has data. */
    async begin(sub = 'user-1') {
      const sid = randomId()
      await sessions.create(session({ sid, sub, endsAtMs: forever, expiresAtMs: forever }))
      await real.write(writeOf(sid))
      return sid
    },
    hasData: async (sid: string) => (await real.read(ownerOf(sid), 'all', clock.nowMs())).size > 0,
  }
}

const ownerOf = (sid: string) => dataOwner('session', issuer, sid)

function writeOf(sid: string, nowMs = t0): DataWrite {
  const expiresAtMs = t0 + 86_400_000
  const value = Buffer.from('cart')
  return {
    owner: ownerOf(sid),
    field: 'cart',
    value,
    version: randomId(),
    maxFields: 64,
    expiresAtMs,
    nowMs,
  }
}

t.test('each revoked session in the log loses its data, and no other', async (t) => {
  const { sessions, begin, hasData, open } = await setUp(t)
  const [one, two, three, other] = [
    await begin(),
    await begin(),
    await begin(),
    await begin('user-2'),
  ]
  const cleanup = open()
  await sessions.revoke(one, t0, keptMs)
  const token = { sid: two, generation: 0, idempotencyKey: null, jkt: null }
  await sessions.rotate({ ...token, policy, nowMs: t0 + 20_000 })
  const reuse = await sessions.rotate({ ...token, policy, nowMs: t0 + 60_000 })
  t.equal(reuse.outcome, 'reused')
  await sessions.appendRevocation('all', '', t0, keptMs)
  await sessions.appendRevocation('key', 'a-key', t0, keptMs)
  await cleanup.refresh()
  t.same(await Promise.all([one, two, three, other].map(hasData)), [false, false, true, true])
})

t.test('sessions with data are revoked one by one, so that their data is deleted', async (t) => {
  const { sessions, clock, begin, hasData, open } = await setUp(t)
  const sids = await Promise.all([1, 2, 3].map(() => begin()))
  const other = await begin('user-2')
  const all = sessionsOf(sessions, clock)
  t.equal(await all.revokeAll('user-1'), 3)
  t.equal(await all.revokeAll('user-1'), 0)
  await open().refresh()
  for (const sid of sids) t.equal(await hasData(sid), false)
  t.equal(await hasData(other), true)
})

function sessionsOf(store: SessionStore, clock: FakeClock): Sessions {
  const sessionPolicy = { ...policy, revokedKeptMs: keptMs, maxMs: forever }
  return new Sessions({ store, policy: sessionPolicy, clock, checkClock: async () => {} })
}

t.test('an unavailable store is called again until the data is deleted', async (t) => {
  const { sessions, begin, hasData, open, setUnavailable, failures, clock } = await setUp(t)
  const sids = await Promise.all([1, 2].map(() => begin()))
  const cleanup = open()
  setUnavailable(true)
  for (const sid of sids) await sessions.revoke(sid, clock.nowMs(), keptMs)
  await cleanup.refresh()
  await cleanup.refresh()
  t.equal(failures.length, 1, 'reported once')
  clock.advance_s(3_000)
  setUnavailable(false)
  await until('the retry has deleted it', async () => !(await hasData(String(sids[1]))))
  t.equal(await hasData(String(sids[0])), false)
  setUnavailable(true)
  await sessions.revoke(await begin(), clock.nowMs(), keptMs)
  await cleanup.refresh()
  t.equal(failures.length, 2)
})

t.test('a node that is down delays only the deletions on that node', async (t) => {
  const { sessions, begin, hasData, open, unreachable, failures } = await setUp(t)
  const [first, last] = [await begin(), await begin()]
  unreachable.add(ownerOf(first).id)
  const cleanup = open()
  await sessions.revoke(first, t0, keptMs)
  for (let n = 0; n < 150; n++) {
    const sid = randomId()
    await sessions.create(session({ sid }))
    await sessions.revoke(sid, t0, keptMs)
  }
  await sessions.revoke(last, t0, keptMs)
  await cleanup.refresh()
  t.equal(await hasData(last), false)
  t.equal(await hasData(first), true)
  await cleanup.refresh()
  t.equal(failures.length, 1, 'reported once')
  unreachable.clear()
  await cleanup.refresh()
  t.equal(await hasData(first), false)
})

t.test('the log is read on after an outage with many deletions', async (t) => {
  const { sessions, begin, hasData, open, setUnavailable, ended } = await setUp(t)
  setUnavailable(true)
  for (let n = 0; n < 1_250; n++) {
    const sid = randomId()
    await sessions.create(session({ sid }))
    await sessions.revoke(sid, t0, keptMs)
  }
  const last = await begin()
  await sessions.revoke(last, t0, keptMs)
  const cleanup = open()
  await cleanup.refresh()
  await cleanup.refresh()
  setUnavailable(false)
  await cleanup.refresh()
  t.equal(await hasData(last), false)
  t.equal(ended.length, 1_251, 'each is deleted once')
})

t.test('a restart completes the deletions of a crashed issuer', async (t) => {
  const { sessions, begin, hasData, open, setUnavailable, clock } = await setUp(t)
  const sid = await begin()
  setUnavailable(true)
  const first = open()
  await sessions.revoke(sid, clock.nowMs(), keptMs)
  await first.refresh()
  await first.close()
  setUnavailable(false)
  t.equal(await hasData(sid), true)
  await open().refresh()
  t.equal(await hasData(sid), false)
})

t.test('a shutdown does not wait until a long log is handled', async (t) => {
  const { sessions, ended, open } = await setUp(t)
  const append = () => sessions.appendRevocation('session', randomId(), t0, keptMs)
  await Promise.all(Array.from({ length: 1_000 }, append))
  const cleanup = open()
  await Promise.all([cleanup.refresh(), cleanup.close()])
  t.ok(ended.length < 1_000, `${ended.length} are handled`)
  await open().refresh()
  t.equal(new Set(ended).size, 1_000, 'the next start handles the others')
})

t.test('new entries are handled without a call', async (t) => {
  const { sessions, begin, hasData, open, clock } = await setUp(t)
  open()
  const sid = await begin()
  await sessions.revoke(sid, clock.nowMs(), keptMs)
  await until('it is deleted', async () => !(await hasData(sid)))
})

t.test('all entries are handled, if more than a page', async (t) => {
  const { sessions, ended, open, begin, hasData } = await setUp(t)
  const last = await begin()
  for (let n = 0; n < 250; n++) {
    const sid = randomId()
    await sessions.create(session({ sid }))
    await sessions.revoke(sid, t0, keptMs)
  }
  await sessions.revoke(last, t0, keptMs)
  await open().refresh()
  t.equal(ended.length, 251)
  t.equal(await hasData(last), false)
})

/** Many write while the session ends: whatever comes first, nothing is there when all is done. */
async function race(t: Test, open: (folder: string) => Promise<DataStore>) {
  const data = await open(createTestFolder(t))
  const { sessions, clock, open: openCleanup, begin, hasData } = await setUp(t, data)
  const cleanup = openCleanup()
  for (let round = 0; round < 20; round++) {
    const sid = await begin()
    let isOver = false
    const write = async () => {
      const outcomes: string[] = []
      while (!isOver) outcomes.push(await data.write(writeOf(sid, clock.nowMs())))
      outcomes.push(await data.write(writeOf(sid, clock.nowMs())))
      return outcomes
    }
    const writers = [write(), write(), write(), write()]
    await new Promise(setImmediate)
    await sessions.revoke(sid, clock.nowMs(), keptMs)
    await cleanup.refresh()
    t.equal(await hasData(sid), false, 'it is gone')
    isOver = true
    for (const outcomes of await Promise.all(writers)) {
      const first = outcomes.indexOf('ended')
      t.ok(first >= 0 && outcomes.slice(first).every((one) => one === 'ended'), 'and closed')
    }
    // By the slowest clock, with the last token.
    clock.advanceMs(closedMs - 1)
    t.equal(await data.write(writeOf(sid, clock.nowMs())), 'ended')
    t.equal(await hasData(sid), false)
  }
}

t.test('no late write restores deleted data: SQLite', (t) =>
  race(t, async (folder) => new SqliteDataStore(join(folder, 'data.db'))),
)

t.test('no late write restores deleted data: Redis', async (t) => {
  const { url } = await startRedis(t)
  await race(t, () => RedisDataStore.open(url, patient))
})
