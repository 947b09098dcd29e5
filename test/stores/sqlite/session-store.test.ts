import { join } from 'node:path'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import type { Session } from '../../../src/stores/ports.ts'
import {
  firstNumber,
  numberOf,
  SqliteSessionStore,
} from '../../../src/stores/sqlite/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { rotation, session, t0 } from '../../support/sessions.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { sessionStoreContract } from '../session-store-contract.ts'
import { sessionWorld } from '../session-world.ts'

sessionStoreContract(
  t,
  async () => new SqliteSessionStore(join(createTestFolder(t), randomId(), 'sessions.db')),
)

t.test('invariant 2: a session is one row, however often it is refreshed', async (t) => {
  const path = join(createTestFolder(t), 'sessions.db')
  const store = new SqliteSessionStore(path)
  const one = session({ sid: randomId(), expiresAtMs: Number.MAX_SAFE_INTEGER })
  await store.create(one)
  for (let generation = 0; generation < 100; generation++) {
    await store.rotate(
      rotation({ sid: one.sid, generation, nowMs: t0 + (generation + 1) * 20_000 }),
    )
  }
  await store.close()
  const { DatabaseSync } = await import('node:sqlite')
  const db = closedWith(t, new DatabaseSync(path))
  t.equal(db.prepare('SELECT count(*) AS n FROM sessions').get()?.n, 1)
  t.equal(db.prepare('SELECT generation FROM sessions').get()?.generation, 100)
})

t.test('two processes on one file agree on the successor', async (t) => {
  const path = join(createTestFolder(t), 'sessions.db')
  const stores = [new SqliteSessionStore(path), new SqliteSessionStore(path)]
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  const one = session({ sid: randomId() })
  await stores[0]?.create(one)
  const request = rotation({ sid: one.sid, nowMs: t0 + 20_000 })
  const results = await Promise.all(stores.map((store) => store.rotate(request)))
  t.same(results.map(({ outcome }) => outcome).sort(), ['replayed', 'rotated'])
  t.same(
    results.map(({ session }) => session?.generation),
    [1, 1],
  )
})

sessionWorld(t, async () => {
  const path = join(createTestFolder(t), randomId(), 'sessions.db')
  const store = new SqliteSessionStore(path)
  const { DatabaseSync } = await import('node:sqlite')
  const other = closedWith(t, new DatabaseSync(path))
  const remove = other.prepare('DELETE FROM sessions WHERE sid = ?')
  return {
    store,
    rollBack: async (old: Session) => {
      remove.run(old.sid)
      await store.create(old)
    },
  }
})

t.test('the number of a session depends on its whole id only', async (t) => {
  for (let n = 0; n < 100; n++) {
    const sid = randomId()
    const bytes = Buffer.from(sid, 'base64url')
    t.equal(numberOf(sid), bytes.readBigInt64BE(0) ^ bytes.readBigInt64BE(8))
  }
  t.equal(numberOf('A'.repeat(22)), 0n)
  t.equal(numberOf(`g${'A'.repeat(21)}`), firstNumber)
})

t.test('other texts have different numbers, which do not depend on earlier ids', async (t) => {
  const some = Array.from({ length: 50 }, (_, n) => [
    ...[`s${n}`, `session-${n}`, `live-session-${String(n).padStart(9, '0')}`],
    ...[`${'A'.repeat(20)}!${n}`, 'Ω'.repeat(22 + n)],
  ]).flat()
  const all = ['', ...new Set(some)]
  const numbers = all.map(numberOf)
  t.equal(new Set(numbers).size, all.length)
  for (const [at, text] of all.entries()) {
    numberOf(randomId())
    if (numberOf(text) !== numbers[at]) return t.fail(text)
  }
})

t.test('two ids with one number are different sessions', async (t) => {
  const store = closedWith(t, new SqliteSessionStore(join(createTestFolder(t), 'sessions.db')))
  const one = session({ sid: randomId() })
  await store.create(one)
  // The same halves in reverse order.
  const bytes = Buffer.from(one.sid, 'base64url')
  const other = Buffer.concat([bytes.subarray(8), bytes.subarray(0, 8)]).toString('base64url')
  t.equal(numberOf(other), numberOf(one.sid))
  t.equal(await store.find(other, t0), null)
  t.equal(await store.revoke(other, t0, 1), false)
  await t.rejects(store.create(session({ sid: other })), { code: 'store_unavailable' })
  t.same(await store.find(one.sid, t0), one)
})
