import t from 'tap'
import { compareAndSet, type StoredValue } from '../../src/stores/compare-and-set.ts'

interface Counter {
  readonly count: number
}

/** A stored counter that counts its calls. */
class StoredCounter implements StoredValue<Counter> {
  value: Counter | null
  loads = 0
  replaces = 0
  readonly #interfere: (counter: StoredCounter) => void

  /** @param interfere called before each comparison */
  constructor(count: number | null, interfere: (counter: StoredCounter) => void = () => {}) {
    this.value = count === null ? null : { count }
    this.#interfere = interfere
  }

  load = async () => {
    this.loads += 1
    return this.value
  }

  replace = async (before: Counter, after: Counter) => {
    this.replaces += 1
    this.#interfere(this)
    if (this.value?.count !== before.count) return false
    this.value = after
    return true
  }
}

const increment = ({ count }: Counter) => ({ after: { count: count + 1 }, from: count })
const leave = (before: Counter) => ({ after: before, from: before.count })

t.test('a value is read and replaced', async (t) => {
  const counter = new StoredCounter(3)
  t.same(await compareAndSet(counter, increment), { after: { count: 4 }, from: 3 })
  t.match(counter, { value: { count: 4 }, loads: 1, replaces: 1 })
})

t.test('a decision is made anew when the value has changed', async (t) => {
  const counter = new StoredCounter(3, (counter) => {
    if (counter.replaces < 3) counter.value = { count: 10 * counter.replaces }
  })
  t.same(await compareAndSet(counter, increment), { after: { count: 21 }, from: 20 })
  t.match(counter, { loads: 3, replaces: 3 })
})

t.test('a known value saves a read', async (t) => {
  const counter = new StoredCounter(3)
  t.same(await compareAndSet(counter, increment, { count: 3 }), { after: { count: 4 }, from: 3 })
  t.equal(counter.loads, 0)
})

t.test('a known value that has changed is read', async (t) => {
  const counter = new StoredCounter(3)
  t.same(await compareAndSet(counter, increment, { count: 2 }), { after: { count: 4 }, from: 3 })
  t.match(counter, { loads: 1, replaces: 2 })
})

t.test('a decision that stores nothing counts for a value that was read', async (t) => {
  const counter = new StoredCounter(3)
  t.same(await compareAndSet(counter, leave, { count: 2 }), { after: { count: 3 }, from: 3 })
  t.match(counter, { loads: 1, replaces: 0 })
})

t.test('without a value there is no decision', async (t) => {
  const counter = new StoredCounter(null)
  t.equal(await compareAndSet(counter, increment), null)
  counter.replace = async () => false
  t.equal(await compareAndSet(counter, increment, { count: 3 }), null, 'also if one was known')
})

t.test('all of many concurrent changes happen', async (t) => {
  const counter = new StoredCounter(0)
  await Promise.all(Array.from({ length: 30 }, () => compareAndSet(counter, increment)))
  t.equal(counter.value?.count, 30)
})
