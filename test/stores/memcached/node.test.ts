import t from 'tap'
import { digest } from '../../../src/core/secrets.ts'
import { HashRing } from '../../../src/stores/memcached/node.ts'
import fc from '../../support/properties.ts'

const keys = Array.from({ length: 20_000 }, (_, n) => digest(`key ${n}`))
const names = (count: number, salt: string) =>
  Array.from({ length: count }, (_, n) => `${salt}-${n}:1`)

function placesOf(nodes: readonly string[]): string[] {
  const ring = new HashRing(nodes)
  return keys.map((key) => nodes[ring.nodeOf(key)] as string)
}

const some = fc.record({
  count: fc.integer({ min: 1, max: 12 }),
  salt: fc.stringMatching(/^[a-z]{1,8}$/),
})

t.test('a new node takes about its share, and no other owner moves', async () => {
  fc.assert(
    fc.property(some, ({ count, salt }) => {
      const [before, after] = [names(count, salt), names(count + 1, salt)].map(placesOf) as [
        string[],
        string[],
      ]
      const moved = after.filter((node, at) => node !== before[at])
      const share = moved.length / keys.length
      const fair = 1 / (count + 1)
      return new Set(moved).size === 1 && share > fair / 2 && share < fair * 2
    }),
    { numRuns: 30 },
  )
})

t.test('the order of the nodes does not matter', async () => {
  fc.assert(
    fc.property(some, ({ count, salt }) => {
      const nodes = names(count, salt)
      const [one, other] = [placesOf(nodes), placesOf(nodes.toReversed())] as const
      return one.every((node, at) => node === other[at])
    }),
    { numRuns: 20 },
  )
})

t.test('the node of an owner never changes between versions', async (t) => {
  const nodes = ['10.0.0.1:11211', '10.0.0.2:11211', '10.0.0.3:11211']
  const ring = new HashRing(nodes)
  t.same(
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((key) => ring.nodeOf(digest(key))),
    [0, 1, 1, 1, 2, 1, 2, 1],
  )
})
