import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { SqliteCounterStore } from '../../../src/stores/sqlite/counter-store.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { counterStoreContract, setBackContract, stopTime } from '../counter-store-contract.ts'

function open(t: Test, path: string): SqliteCounterStore {
  return closedWith(t, new SqliteCounterStore(path))
}

function countRows(path: string): number {
  const db = new DatabaseSync(path)
  const row = db.prepare('SELECT count(*) AS n FROM counters').get()
  db.close()
  return Number(row?.n)
}

counterStoreContract(t, async (t) => {
  const path = join(createTestFolder(t), 'counters.db')
  const stored = async () => countRows(path)
  return { open: async () => open(t, path), wait: stopTime(t), stored }
})

setBackContract(t, async (t) => open(t, join(createTestFolder(t), 'counters.db')))

t.test('an event is not taken back from a later window', async (t) => {
  const wait = stopTime(t)
  const store = open(t, join(createTestFolder(t), 'counters.db'))
  const counter = store.counter({ name: 'test', limit: 1, windowSeconds: 60 })
  const { takeBack } = await counter.add('a')
  wait(61)
  for (const count of [1, 2]) t.match(await counter.add('a'), { count })
  await takeBack()
  t.match(await counter.read('a'), { count: 2 })
})

t.test('expired rows do not accumulate', async (t) => {
  const wait = stopTime(t)
  const path = join(createTestFolder(t), 'counters.db')
  const counter = open(t, path).counter({ name: 'test', limit: 1, windowSeconds: 60 })
  for (let key = 0; key < 100; key += 1) await counter.add(`before-${key}`)
  t.equal(countRows(path), 100)
  wait(61)
  for (let key = 0; key < 200; key += 1) await counter.add(`after-${key}`)
  t.equal(countRows(path), 200)
})

t.test('counters can share the file of the sessions, or be in memory', async (t) => {
  const path = join(createTestFolder(t), 'sessions.db')
  closedWith(t, new SqliteSessionStore(path))
  const shared = open(t, path).counter({ name: 'test', limit: 1, windowSeconds: 60 })
  t.match(await shared.add('a'), { count: 1 })
  const inMemory = open(t, ':memory:').counter({ name: 'test', limit: 1, windowSeconds: 60 })
  t.match(await inMemory.add('a'), { count: 1 })
})

t.test('a locked database is store_unavailable', async (t) => {
  const path = join(createTestFolder(t), 'counters.db')
  const counter = open(t, path).counter({ name: 'test', limit: 1, windowSeconds: 60 })
  const { takeBack } = await counter.add('a')
  const locked = closedWith(t, new DatabaseSync(path))
  locked.exec('BEGIN IMMEDIATE')
  const outage = { code: 'store_unavailable', retryAfterSeconds: 1 }
  await t.rejects(counter.add('a'), outage)
  await t.rejects(takeBack(), outage)
  await t.rejects(counter.reset('a'), outage)
  t.match(await counter.read('a'), { count: 1 }, 'reading needs no lock')
  locked.exec('ROLLBACK; DROP TABLE counters')
  await t.rejects(counter.read('a'), outage)
})
