import { join } from 'node:path'
import t, { type Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { FieldCipher } from '../../src/data/field-cipher.ts'
import { FieldCache, maxFields, maxValueBytes, OwnedFields } from '../../src/data/owned-fields.ts'
import type { DataOwner } from '../../src/stores/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { closedWith } from '../support/closed-with.ts'
import { createTestFolder } from '../support/test-folder.ts'

const hour_ms = 3_600_000
const secret = 's'.repeat(43)

function open(t: Test, owner: DataOwner = { scope: 'session', id: randomId() }) {
  const store = closedWith(t, new SqliteDataStore(join(createTestFolder(t), randomId(), 'data.db')))
  const unreadable = { count: 0 }
  const clock = { nowMs: () => Date.now() }
  const fieldsWith = (secrets: [string, ...string[]], of = owner) =>
    new OwnedFields(
      {
        store,
        codec: new FieldCipher(secrets),
        cache: new FieldCache(),
        clock,
        searches: new Map(),
        onUnreadable() {
          unreadable.count += 1
        },
      },
      of,
      Date.now() + hour_ms,
    )
  return { store, owner, unreadable, fields: fieldsWith([secret]), fieldsWith }
}

t.test('any JSON value is returned with its version', async (t) => {
  const { fields } = open(t)
  for (const value of [null, true, 0, 'ü', [1, { a: [] }], { items: { shirt: 2 } }]) {
    const version = await fields.set('cart', value)
    const text = JSON.stringify(value)
    t.match(await fields.getTexts('all'), new Map([['cart', { text, version }]]))
  }
  t.equal(await fields.getText('other'), null)
  await fields.set('theme', 'dark')
  t.same([...(await fields.getTexts('all')).keys()].sort(), ['cart', 'theme'])
  t.same([...(await fields.getTexts(['theme', 'none'])).keys()], ['theme'])
})

t.test('a change with an outdated version is a conflict', async (t) => {
  const { fields } = open(t)
  const version = await fields.set('cart', 1, null)
  await t.rejects(fields.set('cart', 2, null), { code: 'data_conflict' })
  await t.rejects(fields.delete('cart', randomId()), { code: 'data_conflict' })
  await fields.set('cart', 2, version)
  await t.rejects(fields.set('cart', 3, version), { code: 'data_conflict' })
  t.equal(await fields.delete('cart'), true)
  t.equal(await fields.delete('cart'), false)
})

t.test('each limit has its own error', async (t) => {
  const { fields } = open(t)
  for (const name of ['', 'a b', 'ä', 'a/b', '..', 'a'.repeat(65)]) {
    await t.rejects(fields.set(name, 1), { code: 'data_field_invalid' }, name)
    await t.rejects(fields.getText(name), { code: 'data_field_invalid' }, name)
    await t.rejects(fields.delete(name), { code: 'data_field_invalid' }, name)
  }
  await t.rejects(fields.set('a', undefined as never), { code: 'data_value_invalid' })
  await fields.set('a', 'x'.repeat(maxValueBytes - 2))
  await t.rejects(fields.set('a', 'x'.repeat(maxValueBytes - 1)), { code: 'data_value_too_large' })
  for (let n = 1; n < maxFields; n++) await fields.set(`f${n}`, n)
  await t.rejects(fields.set('one-more', 1), { code: 'data_fields_exceeded' })
})

t.test('an ended session refuses changes', async (t) => {
  const { fields, store, owner } = open(t)
  await fields.set('cart', 1)
  await store.end(owner, Date.now() + hour_ms, Date.now())
  t.equal(await fields.getText('cart'), null)
  await t.rejects(fields.set('cart', 1), { code: 'token_revoked' })
  await t.rejects(fields.delete('cart'), { code: 'token_revoked' })
})

t.test('a value that was copied to another session does not decrypt', async (t) => {
  const { fields, store, owner, unreadable, fieldsWith } = open(t)
  const thief: DataOwner = { scope: 'session', id: randomId() }
  await fields.set('cart', 'mine')
  const stored = (await store.read(owner, 'all', Date.now())).get('cart')
  if (stored === undefined) throw new Error('nothing was stored')
  const nowMs = Date.now()
  await store.write({
    owner: thief,
    field: 'cart',
    ...stored,
    maxFields,
    expiresAtMs: nowMs + hour_ms,
    nowMs,
  })
  t.equal(await fieldsWith([secret], thief).getText('cart'), null)
  t.equal(unreadable.count, 1)
})

t.test('a value that was changed in the store is not answered from the cache', async (t) => {
  const { fields, store, owner, unreadable } = open(t)
  const version = await fields.set('cart', 'mine')
  t.equal((await fields.getText('cart'))?.version, version)
  const nowMs = Date.now()
  const value = Buffer.from('changed')
  const place = { owner, field: 'cart', version, expected: version, value, maxFields }
  await store.write({ ...place, expiresAtMs: nowMs + hour_ms, nowMs })
  t.equal(await fields.getText('cart'), null)
  t.equal(unreadable.count, 1)
})

t.test('a value that no secret decrypts is absent, reported, and replaceable', async (t) => {
  const { fields, unreadable, fieldsWith } = open(t)
  await fields.set('cart', 1)
  const later = fieldsWith(['n'.repeat(43)])
  t.equal(await later.getText('cart'), null)
  t.equal(unreadable.count, 1)
  await t.rejects(later.set('cart', 2, randomId()), { code: 'data_conflict' })
  await later.set('cart', 2)
  t.equal((await later.getText('cart'))?.text, '2')
  for (let n = 1; n < maxFields; n++) await fields.set(`f${n}`, n)
  await Promise.all(Array.from({ length: maxFields - 1 }, (_, n) => later.set(`later-${n}`, n)))
  t.equal((await later.getTexts('all')).size, maxFields, 'lost values take no room')
  await t.rejects(later.set('one-more', 1), { code: 'data_fields_exceeded' })
})

t.test('writes at once that find no room read all fields once', async (t) => {
  const { fields, store } = open(t)
  for (let n = 0; n < maxFields; n++) await fields.set(`f${n}`, n)
  let reads = 0
  const read = store.read.bind(store)
  store.read = (...args) => {
    reads += 1
    return read(...args)
  }
  const writes = Array.from({ length: 50 }, (_, n) => fields.set(`more-${n}`, n))
  const outcomes = await Promise.allSettled(writes)
  t.ok(outcomes.every((one) => one.status === 'rejected'))
  t.ok(reads <= 2, `${reads} reads`)
})
