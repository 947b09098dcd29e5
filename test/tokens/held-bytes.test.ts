import t from 'tap'
import { HeldBytes } from '../../src/tokens/held-bytes.ts'
import fc from '../support/properties.ts'

t.test('holds the bytes of one text, and then of another', async () => {
  for (const encoding of ['utf8', 'base64url'] as const) {
    const held = new HeldBytes(encoding)
    fc.assert(
      fc.property(fc.string({ maxLength: 40_000, size: 'max' }), (text) => {
        const bytes = Buffer.from(text, encoding)
        const isCutOff = encoding === 'utf8' && bytes.length > text.length
        held.hold(text)
        return isCutOff ? held.length > text.length : held.bytes.equals(bytes)
      }),
    )
  }
})

t.test('tells a text that is not ASCII by its length, however long it is', async (t) => {
  const held = new HeldBytes('utf8')
  for (const length of [1, 8187, 8188, 8189, 8192, 20_000]) {
    for (const text of ['ü'.repeat(length), `${'a'.repeat(length - 1)}€`, '😀'.repeat(length)]) {
      t.not(held.hold(text).length, text.length, `${length}`)
    }
    t.equal(held.hold('a'.repeat(length)).length, length)
  }
})

t.test('takes a text in again when there is another one', async (t) => {
  const held = new HeldBytes('utf8')
  held.hold('one')
  t.equal(held.having('one').bytes.toString(), 'one')
  t.equal(held.having('two').bytes.toString(), 'two')
  t.equal(held.first(2).toString(), 'tw')
  t.equal(held.having('three').first(3).toString(), 'thr')
  const bytes = held.hold('x'.repeat(10_000)).bytes
  t.equal(bytes.toString(), 'x'.repeat(10_000), 'in a larger room')
  t.equal(held.numbers.getUint8(9_999), 'x'.charCodeAt(0))
})
