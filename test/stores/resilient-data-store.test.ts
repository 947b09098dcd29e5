import { join } from 'node:path'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import type { DataOwner, DataStore } from '../../src/stores/data-store.ts'
import { openOrFollow } from '../../src/stores/resilient-data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { until } from '../support/until.ts'

const owner: DataOwner = { scope: 'session', id: 'one' }
const unavailable = new GatepassError('store_unavailable')

/** Something that opens once it is told to. */
function setUp(t: Test) {
  const store = new SqliteDataStore(join(t.testdir(), 'data.db'))
  t.teardown(() => store.close())
  const away: unknown[] = []
  const state = { isThere: false, attempts: 0 }
  const open = async (): Promise<DataStore> => {
    state.attempts += 1
    if (!state.isThere) throw unavailable
    return store
  }
  return { state, away, open: () => openOrFollow(open, (error) => away.push(error)) }
}

t.test('a store that is there is used as it is', async (t) => {
  const { state, away, open } = setUp(t)
  state.isThere = true
  t.ok((await open()) instanceof SqliteDataStore)
  t.same(away, [])
})

t.test('one that is away fails until it has come', async (t) => {
  const { state, away, open } = setUp(t)
  const store = await open()
  t.same(away, [unavailable])
  await t.rejects(store.read(owner, 'all', 0), { code: 'store_unavailable' })
  await t.rejects(store.end(owner, 1, 0), { code: 'store_unavailable' })
  t.equal(await store.removeExpired(0, 1), false)
  t.equal(store.promises.durable, false)
  await until('it is looked for again', () => state.attempts > 1)
  state.isThere = true
  const answers = async () =>
    store.ping().then(
      () => true,
      () => false,
    )
  await until('it is found', answers)
  t.same(await store.read(owner, 'all', 0), new Map())
  t.equal(store.promises.durable, true)
  await store.close()
  t.equal(away.length, 1)
})

t.test('after it was closed nothing is looked for', async (t) => {
  const { state, open } = setUp(t)
  const store = await open()
  await store.close()
  const { attempts } = state
  await new Promise((resolve) => setTimeout(resolve, 400))
  t.equal(state.attempts, attempts)
})

t.test('an address that can not be used is not tried again', async (t) => {
  const open = async () => {
    throw new GatepassError('config_invalid')
  }
  await t.rejects(
    openOrFollow(open, () => t.fail()),
    { code: 'config_invalid' },
  )
})
