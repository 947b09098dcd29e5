import t from 'tap'
import { fromFrame, toFrame } from '../../../src/issuer/passwords/frames.ts'
import fc from '../../support/properties.ts'

t.test('a value comes through a pipe as it was, and not before all of it is there', async (t) => {
  const parts = {
    bytes: fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
    text: fc.string({ maxLength: 200 }),
    number: fc.integer(),
  }
  const value = fc.record(parts, { noNullPrototype: true })
  fc.assert(
    fc.property(value, fc.nat(), (value, at) => {
      const frame = toFrame(value)
      t.strictSame(fromFrame(frame.subarray(0, at % frame.length)), undefined)
      t.strictSame(fromFrame(frame), value)
      t.strictSame(fromFrame(Buffer.concat([frame, Buffer.alloc(9)])), value)
    }),
  )
})
