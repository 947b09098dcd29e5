import { join } from 'node:path'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { firstNumber, numberOf } from '../../../src/stores/sqlite/session-schema.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { session, t0 } from '../../support/sessions.ts'
import { createTestFolder } from '../../support/test-folder.ts'

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
  const store = new SqliteSessionStore(join(createTestFolder(t), 'sessions.db'))
  t.teardown(() => store.close())
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
