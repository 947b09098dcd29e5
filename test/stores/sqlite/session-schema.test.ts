import { join } from 'node:path'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { firstNumber, numberOf } from '../../../src/stores/sqlite/session-schema.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/sessions.ts'
import { session, t0 } from '../../support/sessions.ts'

t.test('a number is the first half of the id, and depends on nothing else', async (t) => {
  for (let n = 0; n < 100; n++) {
    const sid = randomId()
    t.equal(numberOf(sid), Buffer.from(sid, 'base64url').readBigInt64BE(0))
  }
  t.equal(numberOf('_'.repeat(22)), -1n)
  t.equal(numberOf(`g${'A'.repeat(21)}`), firstNumber)
})

t.test(
  'what is no id of ours has a number that the ids before it have not left there',
  async (t) => {
    for (const text of ['', 'short', 'ten-bytes', '!'.repeat(22), 'Ω'.repeat(22)]) {
      numberOf(randomId())
      t.equal(numberOf(text), 0n, text)
    }
  },
)

t.test('an id that shares its number with another is another id', async (t) => {
  const store = new SqliteSessionStore(join(t.testdir(), 'sessions.db'))
  t.teardown(() => store.close())
  const one = session({ sid: randomId() })
  await store.create(one)
  const other = `${one.sid.slice(0, 12)}AAAAAAAAAA`
  t.equal(numberOf(other), numberOf(one.sid))
  t.equal(await store.find(other, t0), null)
  t.equal(await store.revoke(other, t0, 1), false)
  await t.rejects(store.create(session({ sid: other })), { code: 'store_unavailable' })
  t.same(await store.find(one.sid, t0), one)
})
