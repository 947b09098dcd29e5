import { join } from 'node:path'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/secrets.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { ResilientDataStore } from '../../src/stores/open-data-store.ts'
import { RedisDataStore } from '../../src/stores/redis/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { FakeClock } from '../support/clock.ts'
import { closedWith } from '../support/closed-with.ts'
import { patient } from '../support/patience.ts'
import { startRedis } from '../support/redis.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'
import { dataStoreContract, later, newOwner, write } from './data-store-contract.ts'

const unavailable = new GatepassError('store_unavailable', { retryAfterSeconds: 1 })

function sqlite(t: Test): SqliteDataStore {
  return new SqliteDataStore(join(createTestFolder(t), randomId(), 'data.db'))
}

function openResilient(open: () => Promise<DataStore>) {
  const clock = new FakeClock()
  const errors: unknown[] = []
  const onUnavailable = (error: unknown) => errors.push(error)
  const onCleanupError = (error: unknown) => t.fail(String(error))
  const opening = ResilientDataStore.open(open, { clock, onUnavailable, onCleanupError })
  return { clock, errors, opening }
}

dataStoreContract(t, () => openResilient(async () => sqlite(t)).opening)

/** A store of which some methods are replaced. */
async function withChanges(t: Test, changes: (store: SqliteDataStore) => Partial<DataStore>) {
  const store = sqlite(t)
  const changed: DataStore = Object.assign(Object.create(store) as DataStore, {
    write: store.write.bind(store),
    close: store.close.bind(store),
    ...changes(store),
  })
  const { clock, opening } = openResilient(async () => changed)
  const resilient = closedWith(t, await opening)
  return { clock, resilient }
}

t.test('calls are blocked while the store does not respond, and tried again later', async (t) => {
  let isDown = true
  let calls = 0
  const { clock, resilient } = await withChanges(t, (store) => ({
    read: async (...args) => {
      calls += 1
      if (isDown) throw unavailable
      return store.read(...args)
    },
  }))
  const read = () => resilient.read(newOwner(), ['cart'], clock.nowMs())
  for (let n = 0; n < 20; n++) {
    await t.rejects(read(), { code: 'store_unavailable', retryAfterSeconds: 1 })
  }
  t.equal(calls, 5, 'then calls are blocked')
  isDown = false
  await t.rejects(read(), { code: 'store_unavailable' })
  clock.advanceMs(500)
  t.same(await read(), new Map())
  t.equal(calls, 6)
})

t.test('data can be removed from a full Redis, which refuses writes', async (t) => {
  const server = await startRedis(t)
  const { clock, opening } = openResilient(() => RedisDataStore.open(server.url, patient))
  const store = closedWith(t, await opening)
  const [one, other] = [write({ owner: newOwner() }), write({ owner: newOwner() })]
  t.same([await store.write(one), await store.write(other)], ['written', 'written'])
  await server.ask('CONFIG', 'SET', 'maxmemory', '1')
  for (let n = 0; n < 20; n++) await t.rejects(store.write(one), { code: 'store_unavailable' })
  const nowMs = clock.nowMs()
  t.equal(await store.remove({ owner: one.owner, field: one.field, nowMs }), 'removed')
  await store.end(other.owner, later, nowMs)
  t.same(await store.read(other.owner, 'all', nowMs), new Map())
})

t.test('a store that cannot write is still read, and its writes are probed', async (t) => {
  let calls = 0
  const { clock, resilient } = await withChanges(t, (store) => ({
    touch: async () => {
      calls += 1
      throw unavailable
    },
    read: (...args) => store.read(...args),
  }))
  const owner = newOwner()
  for (let tenths = 0; tenths < 100; tenths++) {
    await t.rejects(resilient.touch(owner, clock.nowMs(), clock.nowMs()), {
      code: 'store_unavailable',
    })
    t.same(await resilient.read(owner, ['cart'], clock.nowMs()), new Map())
    clock.advanceMs(100)
  }
  const probes = calls - 5
  t.ok(probes >= 9 && probes <= 20, `${probes} probes in 10 s, at least one a second`)
})

t.test('a store with circuit breakers of its own gets no other', async (t) => {
  let calls = 0
  const { clock, resilient } = await withChanges(t, () => ({
    hasCircuitBreaker: true,
    read: async () => {
      calls += 1
      throw unavailable
    },
  }))
  for (let n = 0; n < 20; n++) await t.rejects(resilient.read(newOwner(), 'all', clock.nowMs()))
  t.equal(calls, 20)
})

/** A store that can be opened once `isUp` is set. */
function startUnavailable(t: Test) {
  const store = closedWith(t, sqlite(t))
  const state = { isUp: false, attempts: 0 }
  const { errors, opening } = openResilient(async () => {
    state.attempts += 1
    if (!state.isUp) throw unavailable
    return store
  })
  return { store, state, errors, opening }
}

t.test('a store that is unavailable at the start is opened in the background', async (t) => {
  const { store, state, errors, opening } = startUnavailable(t)
  const resilient = await opening
  t.same(errors, [unavailable])
  const owner = newOwner()
  await t.rejects(resilient.read(owner, 'all', 0), { code: 'store_unavailable' })
  await t.rejects(resilient.end(owner, 1, 0), { code: 'store_unavailable' })
  t.equal(await resilient.removeExpired(0, 1), false)
  await until('it is tried again', () => state.attempts > 1)
  state.isUp = true
  const responds = async () =>
    resilient.read(owner, 'all', 0).then(
      () => true,
      () => false,
    )
  await until('it is opened', responds)
  t.same(await resilient.read(owner, 'all', 0), new Map())
  for (const field of ['cart', 'theme']) await resilient.write(write({ owner, field }))
  t.equal(await resilient.removeExpired(later, 1), true, 'there is more to remove')
  await resilient.close()
  await t.rejects(store.read(owner, 'all', 0), 'the store is closed too')
  t.equal(errors.length, 1)
})

t.test('after close() no attempt to open the store follows', async (t) => {
  const { state, opening } = startUnavailable(t)
  const resilient = await opening
  await resilient.close()
  const { attempts } = state
  await new Promise((resolve) => setTimeout(resolve, 400))
  t.equal(state.attempts, attempts)
})

t.test('a store that cannot be opened after the start stays unavailable', async (t) => {
  const failed = new GatepassError('migration_failed', { detail: 'The file /data.db is newer.' })
  let error = unavailable
  const { opening } = openResilient(async () => {
    throw error
  })
  const resilient = closedWith(t, await opening)
  error = failed
  const thrown = async () => {
    const { code, message, cause } = await resilient.read(newOwner(), 'all', 0).catch((one) => one)
    t.equal(code, 'store_unavailable')
    t.notMatch(message, 'data.db')
    return cause
  }
  await until('it is tried again', async () => (await thrown()) === failed)
})

t.test('a configuration error is thrown', async (t) => {
  const { opening } = openResilient(async () => {
    throw new GatepassError('config_invalid')
  })
  await t.rejects(opening, { code: 'config_invalid' })
})

t.test('a clock that is ahead for minutes removes no data that has not expired', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { clock, opening } = openResilient(async () => sqlite(t))
  const resilient = closedWith(t, await opening)
  const owner = newOwner()
  const dayMs = 86_400_000
  const expiresAtMs = clock.nowMs() + dayMs
  await resilient.write(write({ owner, field: 'cart', expiresAtMs, nowMs: clock.nowMs() }))
  /** Runs one sweep, and returns the number of owners that are left. */
  const sweep = async () => {
    clock.advance_s(60)
    mock.timers.tick(60_000)
    for (let turn = 0; turn < 10; turn++) await setImmediate()
    return (await resilient.read(owner, 'all', expiresAtMs - 1)).size
  }
  t.equal(await sweep(), 1)
  clock.advanceMs(30 * dayMs)
  for (let n = 0; n < 5; n++) t.equal(await sweep(), 1, `minute ${n} of a wrong clock`)
  clock.advanceMs(-30 * dayMs)
  t.equal(await sweep(), 1)
  clock.advanceMs(dayMs)
  for (let n = 0; n < 5; n++) t.equal(await sweep(), 1)
  t.equal(await sweep(), 0, 'it has expired by the time of each sweep')
})
