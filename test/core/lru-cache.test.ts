import { memoryUsage } from 'node:process'
import t from 'tap'
import { LruCache } from '../../src/core/lru-cache.ts'
import { collectGarbage } from '../support/garbage.ts'
import fc from '../support/properties.ts'

t.test('the least recently used entry is evicted first', async (t) => {
  const cache = new LruCache<number>(2)
  cache.set('a', 1)
  cache.set('b', 2)
  t.equal(cache.get('a'), 1)
  cache.set('c', 3)
  t.equal(cache.get('b'), undefined)
  t.equal(cache.get('a'), 1)
  t.equal(cache.get('c'), 3)
})

t.test('a missing value is created once', async (t) => {
  const cache = new LruCache<object>(2)
  const created = cache.getOrAdd('a', () => ({}))
  t.equal(
    cache.getOrAdd('a', () => ({})),
    created,
  )
  t.equal(cache.get('a'), created)
})

t.test('replacing an entry counts its weight once', async (t) => {
  const cache = new LruCache<string>(4, (text) => text.length)
  for (let round = 0; round < 5; round += 1) cache.set('a', 'aa')
  cache.set('b', 'bb')
  t.equal(cache.get('a'), 'aa')
})

t.test('an entry heavier than the cache is not kept and replaces the old one', async (t) => {
  const cache = new LruCache<string>(4, (text) => text.length)
  cache.set('a', 'aa')
  cache.set('b', 'b')
  cache.set('a', 'aaaaa')
  t.equal(cache.get('a'), undefined)
  t.equal(cache.get('b'), 'b')
})

t.test('the cache keeps the last used entries up to half of its weight', async () => {
  const step = fc.record({
    what: fc.constantFrom('set', 'get'),
    weight: fc.integer({ min: 1, max: 8 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const cache = new LruCache<number>(16, (weight) => weight)
      /** Last used first. An entry is named by its weight. */
      let model: number[] = []
      for (const { what, weight } of steps) {
        const isAdded = what === 'set' || model.includes(weight)
        if (what === 'set') cache.set(`${weight}`, weight)
        const found = cache.get(`${weight}`)
        if (found !== undefined && (found !== weight || !isAdded)) return false
        model = model.filter((other) => other !== weight)
        if (found !== undefined) model.unshift(weight)
        const modelWeight = model.reduce((sum, one) => sum + one, 0)
        if (cache.weight > Math.min(16, modelWeight)) return false
      }
      let total = 0
      return model.every((weight) => {
        total += weight
        return total > 8 || cache.get(`${weight}`) === weight
      })
    }),
  )
})

t.test('a deleted entry is gone', async (t) => {
  const cache = new LruCache<string>(4)
  for (const name of ['a', 'b', 'c']) cache.set(name, name)
  cache.delete('a')
  cache.delete('c')
  t.equal(cache.get('a'), undefined)
  t.equal(cache.get('c'), undefined)
  t.equal(cache.weight, 1)
  for (const name of ['d', 'e', 'f', 'g']) cache.set(name, name)
  t.ok(cache.weight <= 4)
  t.equal(cache.get('b'), undefined)
})

t.test('uses do not grow the memory of the cache', async (t) => {
  const cache = new LruCache<number>(64)
  const names = Array.from({ length: 32 }, (_, n) => `name ${n}`)
  for (const name of names) cache.set(name, 1)
  const heapAfterUses = () => {
    for (let round = 0; round < 20_000; round += 1) for (const name of names) cache.get(name)
    collectGarbage()
    return memoryUsage().heapUsed
  }
  const before = heapAfterUses()
  t.ok(heapAfterUses() - before < 8 * 1024 ** 2)
})
