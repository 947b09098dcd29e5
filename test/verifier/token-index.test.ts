import t from 'tap'
import { createPrints, TokenIndex } from '../../src/verifier/token-index.ts'
import fc from '../support/properties.ts'

interface Entry {
  readonly token: string
  readonly n: number
}

const entryOf = (token: string, n: number): Entry => ({ token, n })

/** An index whose callers need no prints. */
function indexOf(seed?: number) {
  const index = new TokenIndex<Entry>((entry, token) => entry.token === token)
  const printOf = createPrints(seed)
  return {
    find: (token: string) => index.find(token, printOf(token)),
    set: (entry: Entry) => index.set(entry.token, printOf(entry.token), entry),
    delete: (entry: Entry) => index.delete(printOf(entry.token), entry),
    size: () => index.size,
  }
}

/** All tails are alike, or few, or many: so entries collide always, often, or seldom. */
const tails = fc.constantFrom(1, 3, 1000)

t.test('does as a Map does, however many collide', async () => {
  const action = fc.record({ what: fc.constantFrom('set', 'set', 'delete'), n: fc.nat(120) })
  fc.assert(
    fc.property(tails, fc.nat(), fc.array(action, { maxLength: 400 }), (tails, seed, actions) => {
      const index = indexOf(seed)
      const model = new Map<string, Entry>()
      const textOf = (n: number) => `${n}.${String(n % tails).padStart(20, 'x')}`
      for (const { what, n } of actions) {
        const token = textOf(n)
        const known = model.get(token)
        if (what === 'set') {
          const entry = entryOf(token, n)
          model.set(token, entry)
          if (index.set(entry) !== known) return false
        } else if (known !== undefined) {
          model.delete(token)
          index.delete(known)
        }
      }
      const all = Array.from({ length: 121 }, (_, n) => textOf(n))
      return index.size() === model.size && all.every((one) => index.find(one) === model.get(one))
    }),
  )
})

t.test('deletes the entry that it is given, and no other of the same token', async (t) => {
  const index = indexOf()
  const [first, second] = [entryOf('a.b.c', 1), entryOf('a.b.c', 2)]
  index.set(first)
  t.equal(index.set(second), first)
  index.delete(first)
  index.delete(entryOf('x.y.z', 3))
  t.equal(index.find('a.b.c'), second)
  index.delete(second)
  index.delete(second)
  t.equal(index.size(), 0)
})

t.test('finds each of many, and no text that is none of them', async (t) => {
  const index = indexOf()
  for (let n = 0; n < 5_000; n += 1) index.set(entryOf(`a.b.${n}`, n))
  t.equal(index.size(), 5_000)
  t.ok(Array.from({ length: 5_000 }, (_, n) => index.find(`a.b.${n}`)?.n === n).every(Boolean))
  for (const text of ['', '0', 'a.b.', 'a.b.5000', 'b.b.1']) t.equal(index.find(text), undefined)
})
