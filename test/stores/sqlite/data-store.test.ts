import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { SqliteDataStore } from '../../../src/stores/sqlite/data-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { t0 } from '../../support/sessions.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { dataStoreContract, fieldsOf, newOwner, write } from '../data-store-contract.ts'

const path = () => join(createTestFolder(t), randomId(), 'data.db')

dataStoreContract(t, async () => new SqliteDataStore(path()))

t.test('data expires, and a write or a touch postpones that', async (t) => {
  const store = closedWith(t, new SqliteDataStore(path()))
  const one = write({ owner: newOwner(), expiresAtMs: t0 + 100 })
  await store.write(one)
  await store.touch(one.owner, t0 + 50, t0)
  t.same(await store.read(one.owner, 'all', t0 + 99), fieldsOf(one))
  t.same(await store.read(one.owner, 'all', t0 + 100), new Map())
  const late = { owner: one.owner, field: one.field, nowMs: t0 + 100 }
  t.equal(await store.remove(late), 'absent')
  await store.touch(one.owner, t0 + 200, t0 + 100)
  t.same(await store.read(one.owner, 'all', t0 + 100), new Map(), 'too late')

  const next = write({ ...one, field: 'theme', nowMs: t0 + 100, expiresAtMs: t0 + 200 })
  t.equal(await store.write(next), 'written')
  t.same(await store.read(one.owner, 'all', t0 + 199), fieldsOf(next), 'the old field stays away')
  await store.touch(one.owner, t0 + 300, t0 + 150)
  t.same(await store.read(one.owner, 'all', t0 + 299), fieldsOf(next))
})

t.test('expired data is removed in small batches, and data of ended owners at once', async (t) => {
  const file = path()
  const store = new SqliteDataStore(file)
  const kept = write({ owner: newOwner(), expiresAtMs: t0 + 1000 })
  await store.write(kept)
  for (let n = 0; n < 10; n++) await store.write(write({ owner: newOwner(), expiresAtMs: t0 + 1 }))
  await store.end(newOwner(), t0 + 1, t0)
  const ended = write({ owner: newOwner() })
  await store.write(ended)
  await store.end(ended.owner, t0 + 1000, t0)
  let batches = 1
  while (await store.removeExpired(t0 + 10, 4)) batches += 1
  t.equal(batches, 4)
  t.same(await store.read(kept.owner, 'all', t0 + 10), fieldsOf(kept))
  await store.close()
  const { DatabaseSync } = await import('node:sqlite')
  const db = closedWith(t, new DatabaseSync(file))
  t.equal(db.prepare('SELECT count(*) AS n FROM data_fields').get()?.n, 1)
  t.equal(db.prepare('SELECT count(*) AS n FROM data_owners').get()?.n, 2)
})

t.test('values that are replaced, removed, ended or expired leave the file', async (t) => {
  const file = path()
  const store = new SqliteDataStore(file)
  const removed = write({ owner: newOwner(), value: randomBytes(1_000) })
  const ended = write({ owner: newOwner(), value: randomBytes(60_000) })
  const expired = write({ owner: newOwner(), value: randomBytes(5_000), expiresAtMs: t0 + 1 })
  const replaced = write({ owner: newOwner(), value: randomBytes(5_000) })
  const kept = write({ ...replaced, version: 'b', value: randomBytes(100) })
  const all = [removed, ended, expired, replaced, kept]
  for (const one of all) await store.write(one)
  await store.remove({ owner: removed.owner, field: removed.field, nowMs: t0 })
  await store.end(ended.owner, t0, t0)
  await store.removeExpired(t0 + 10, 10)
  await store.close()
  const bytes = readFileSync(file)
  const isLeft = ({ value }: typeof kept) =>
    Array.from({ length: value.length / 50 }, (_, at) =>
      value.subarray(50 * at, 50 * at + 50),
    ).some((part) => bytes.includes(part))
  t.strictSame(all.map(isLeft), [false, false, false, false, true])
})
