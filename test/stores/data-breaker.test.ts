import { join } from 'node:path'
import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/secrets.ts'
import { withBreaker } from '../../src/stores/data-breaker.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { FakeClock } from '../support/clock.ts'
import { dataStoreContract, newOwner } from './data-store-contract.ts'

const open = () => new SqliteDataStore(join(t.testdir(), randomId(), 'data.db'))

dataStoreContract(t, async () => withBreaker(open(), new FakeClock()))

t.test('a store that does not answer is left alone, and tried again later', async (t) => {
  const store = open()
  t.teardown(() => store.close())
  let isDown = true
  let asked = 0
  const failing: DataStore = Object.assign(Object.create(store) as DataStore, {
    read: async (...args: Parameters<DataStore['read']>) => {
      asked += 1
      if (isDown) throw new GatepassError('store_unavailable', { retryAfter_s: 1 })
      return store.read(...args)
    },
  })
  const clock = new FakeClock()
  const guarded = withBreaker(failing, clock)
  const read = () => guarded.read(newOwner(), ['cart'], clock.nowMs())
  for (let n = 0; n < 20; n++) {
    await t.rejects(read(), { code: 'store_unavailable', retryAfter_s: 1 })
  }
  t.equal(asked, 5, 'then it was left alone')
  isDown = false
  await t.rejects(read(), { code: 'store_unavailable' })
  clock.advanceMs(500)
  t.same(await read(), new Map())
  t.equal(asked, 6)
})

t.test('a store that takes no changes can be read, and is asked again every second', async (t) => {
  const store = open()
  t.teardown(() => store.close())
  let asked = 0
  const failing: DataStore = Object.assign(Object.create(store) as DataStore, {
    touch: async () => {
      asked += 1
      throw new GatepassError('store_unavailable', { retryAfter_s: 1 })
    },
    read: (...args: Parameters<DataStore['read']>) => store.read(...args),
  })
  const clock = new FakeClock()
  const guarded = withBreaker(failing, clock)
  const owner = newOwner()
  for (let tenths = 0; tenths < 100; tenths++) {
    await t.rejects(guarded.touch(owner, clock.nowMs(), clock.nowMs()), {
      code: 'store_unavailable',
    })
    t.same(await guarded.read(owner, ['cart'], clock.nowMs()), new Map())
    clock.advanceMs(100)
  }
  t.equal(asked, 5 + 1 + 9, 'at first, after half a second, and after each second of ten')
})

t.test('a store with breakers of its own is left as it is', async (t) => {
  const store = open()
  t.teardown(() => store.close())
  const guarded: DataStore = Object.assign(store, { guardsItself: true as const })
  t.equal(withBreaker(guarded, new FakeClock()), guarded)
})
