import t from 'tap'
import { FixedBytes } from '../../src/tokens/fixed-bytes.ts'
import fc from '../support/properties.ts'

const view = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

t.test('is found where it is, and nowhere else', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'ü'), maxLength: 12 })
  fc.assert(
    fc.property(text, text, fc.nat(12), (wanted, around, start) => {
      const bytes = Buffer.from(around + wanted + around)
      const fixed = new FixedBytes(wanted)
      const at = Math.min(start, bytes.length - fixed.length)
      const isThere = bytes.subarray(at, at + fixed.length).equals(Buffer.from(wanted))
      return fixed.isAt(at, view(bytes)) === isThere
    }),
    { numRuns: 1000 },
  )
})

t.test('compares every byte', async (t) => {
  const text = 'a text of 21 bytes ..'
  const fixed = new FixedBytes(text)
  t.equal(fixed.length, 21)
  const bytes = Buffer.from(` ${text}`)
  t.ok(fixed.isAt(1, view(bytes)))
  for (let at = 1; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 0x80
    t.notOk(fixed.isAt(1, view(changed)), `byte ${at}`)
  }
})
