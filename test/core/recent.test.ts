import t from 'tap'
import { Recent } from '../../src/core/recent.ts'
import fc from '../support/properties.ts'

t.test('what is used stays, and what is not used goes', async (t) => {
  const recent = new Recent<number>(8)
  for (let n = 0; n < 100; n++) {
    recent.set(`${n}`, n)
    t.equal(recent.get('0'), 0)
  }
  t.equal(recent.get('99'), 99)
  t.equal(recent.get('50'), undefined)
})

t.test('what weighs too much by itself is not kept, nor what it would have replaced', async (t) => {
  const recent = new Recent<string>(10, (text) => text.length)
  recent.set('a', 'abc')
  recent.set('a', 'abcdef')
  t.equal(recent.get('a'), undefined)
})

t.test('gives what was set last, or nothing', async () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const step = fc.tuple(name, fc.option(fc.nat({ max: 6 }), { nil: undefined }))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const recent = new Recent<{ weight: number }>(10, ({ weight }) => weight)
      const last = new Map<string, { weight: number }>()
      return steps.every(([name, weight]) => {
        if (weight !== undefined) {
          last.set(name, { weight })
          recent.set(name, last.get(name) as { weight: number })
        }
        const found = recent.get(name)
        return found === undefined || found === last.get(name)
      })
    }),
  )
})
