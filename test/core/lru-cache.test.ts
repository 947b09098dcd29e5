import t from 'tap'
import { LruCache } from '../../src/core/lru-cache.ts'
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

t.test('the cache behaves like a list that is ordered by use', async () => {
  const step = fc.record({ name: fc.nat(5).map(String), weight: fc.integer({ min: 1, max: 6 }) })
  fc.assert(
    fc.property(fc.array(fc.oneof(step, fc.nat(5).map(String))), (steps) => {
      const cache = new LruCache<number>(8, (weight) => weight)
      let model: [string, number][] = []
      const total = () => model.reduce((sum, [, weight]) => sum + weight, 0)
      for (const one of steps) {
        const name = typeof one === 'string' ? one : one.name
        const known = model.find(([other]) => other === name)
        model = model.filter(([other]) => other !== name)
        if (typeof one === 'string') {
          if (known !== undefined) model.push(known)
          if (cache.get(name) !== known?.[1]) return false
        } else {
          cache.set(name, one.weight)
          model.push([name, one.weight])
          while (total() > 8) model.shift()
        }
      }
      return model.every(([name, weight]) => cache.get(name) === weight)
    }),
  )
})
