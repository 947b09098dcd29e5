import { mock } from 'node:test'
import type { Test } from 'tap'
import type { CounterStore } from '../../src/stores/counter-store.ts'

/** Stops the clock, also for the library. Returns a function that advances it. */
export function stopTime(t: Test): (seconds: number) => void {
  mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1) })
  t.teardown(() => mock.timers.reset())
  return (seconds) => mock.timers.tick(seconds * 1000)
}

export interface CounterStoreContract {
  /** Opens the same store as another process would. */
  open(): Promise<CounterStore>
  /** Advances the clock of the store, without waiting. */
  wait(seconds: number): Promise<void> | void
  /** Returns how many counts the store has, also of zero. */
  stored(): Promise<number>
}

/** Tests the promises of a CounterStore on a real store. `start` returns an empty store. */
export function counterStoreContract(
  t: Test,
  start: (t: Test) => Promise<CounterStoreContract>,
): void {
  const options = { name: 'test', limit: 2, windowSeconds: 300 }

  t.test('counts per key, up to the limit and beyond', async (t) => {
    const { open } = await start(t)
    const counter = (await open()).counter(options)
    t.equal(await counter.read('a'), null)
    t.match(await counter.add('a'), { count: 1, isWithinLimit: true })
    t.match(await counter.add('a'), { count: 2, isWithinLimit: true })
    t.match(await counter.add('a'), { count: 3, isWithinLimit: false })
    t.match(await counter.add('b'), { count: 1, isWithinLimit: true })
    const { count, resetsInMs } = (await counter.read('a')) ?? {}
    t.equal(count, 3)
    t.ok(resetsInMs !== undefined && resetsInMs > 0 && resetsInMs <= 300_000, `${resetsInMs} ms`)
  })

  t.test('a window starts with its first event and has the given length', async (t) => {
    const { open, wait } = await start(t)
    const counter = (await open()).counter(options)
    await counter.add('short', 100)
    await counter.add('long')
    await wait(150)
    t.equal(await counter.read('short'), null)
    t.match(await counter.add('long', 100), { count: 2 }, 'its window goes on')
    await wait(100)
    t.match(await counter.read('long'), { count: 2 })
    await wait(100)
    t.equal(await counter.read('long'), null)
    t.match(await counter.add('long'), { count: 1, isWithinLimit: true })
  })

  t.test('an event that is taken back does not count, and no count is negative', async (t) => {
    const { open, wait } = await start(t)
    const counter = (await open()).counter(options)
    for (const key of ['a', 'b']) await counter.add(key)
    const { takeBack } = await counter.add('a')
    await takeBack()
    t.match(await counter.read('a'), { count: 1 })
    t.match(await counter.read('b'), { count: 1 })
    const late = await counter.add('a')
    await wait(350)
    await late.takeBack()
    t.match(await counter.add('a'), { count: 1 })
  })

  t.test('an event cannot be taken back after a reset', async (t) => {
    const { open } = await start(t)
    const counter = (await open()).counter(options)
    const before = await Promise.all([counter.add('a'), counter.add('a')])
    await counter.reset('a')
    await Promise.all(before.map(({ takeBack }) => takeBack()))
    t.match(await counter.add('a'), { count: 1 })
  })

  t.test('an event that is taken back leaves nothing behind', async (t) => {
    const { open, stored } = await start(t)
    const counter = (await open()).counter(options)
    const [first, second] = [await counter.add('a'), await counter.add('a')]
    await first.takeBack()
    t.equal(await stored(), 1)
    await second.takeBack()
    t.equal(await stored(), 0)
    const reset = await counter.add('a')
    await counter.reset('a')
    await reset.takeBack()
    t.equal(await stored(), 0)
  })

  t.test('events are taken back while others are added', async (t) => {
    const { open } = await start(t)
    const counters = [await open(), await open()].map((store) => store.counter(options))
    const work = Array.from({ length: 20 }, () =>
      counters.map(async (counter) => {
        await (await counter.add('a')).takeBack()
        await counter.add('a')
      }),
    )
    await Promise.all(work.flat())
    t.match(await counters[0]?.read('a'), { count: 40 })
  })

  t.test('a reset key counts from zero', async (t) => {
    const { open } = await start(t)
    const counter = (await open()).counter(options)
    await counter.reset('a')
    await counter.add('a')
    await counter.reset('a')
    t.match(await counter.add('a'), { count: 1 })
  })

  t.test('processes count together, and counters of other names separately', async (t) => {
    const { open } = await start(t)
    const [one, other] = [await open(), await open()]
    await one.counter(options).add('a')
    t.match(await other.counter(options).add('a'), { count: 2 })
    t.match(await other.counter({ ...options, name: 'test2' }).add('a'), { count: 1 })
  })

  t.test('concurrent events get different counts', async (t) => {
    const { open } = await start(t)
    const counters = [await open(), await open()].map((store) => store.counter(options))
    const added = await Promise.all(
      Array.from({ length: 20 }, () => counters.map((counter) => counter.add('a'))).flat(),
    )
    const counts = added.map(({ count }) => count).sort((a, b) => a - b)
    t.strictSame(
      counts,
      Array.from({ length: 40 }, (_, index) => index + 1),
    )
    t.equal(added.filter(({ isWithinLimit }) => isWithinLimit).length, 2)
  })
}

/** Tests a store whose windows follow the clock of the machine, which may be set back. */
export function setBackContract(t: Test, open: (t: Test) => Promise<CounterStore>): void {
  t.test('a count from a clock that was ahead does not count', async (t) => {
    const counter = (await open(t)).counter({ name: 'test', limit: 1, windowSeconds: 300 })
    stopTime(t)
    for (const key of ['read', 'added']) {
      await counter.add(key, 100)
      await counter.add(key)
    }
    mock.timers.setTime(Date.UTC(2025, 0, 1))
    t.equal(await counter.read('read'), null)
    const added = await counter.add('added')
    t.match(added, { count: 1, isWithinLimit: true })
    t.ok(added.resetsInMs <= 300_000)
    t.match(await counter.read('added'), { count: 1 })
    mock.timers.setTime(Date.UTC(2025, 0, 1) - 60_000)
    t.match(await counter.add('added'), { count: 2 }, 'the clocks of machines may differ')
  })
}
