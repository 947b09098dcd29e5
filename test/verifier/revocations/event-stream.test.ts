import t from 'tap'
import {
  EventStreamParser,
  maxEventBytes,
  type StreamMessage,
} from '../../../src/verifier/revocations/event-stream.ts'
import fc from '../../support/properties.ts'

function readAll(...chunks: (string | Uint8Array)[]): StreamMessage[] {
  const parser = new EventStreamParser()
  return chunks.flatMap((chunk) => parser.parse(Buffer.from(chunk as string)))
}

const stream = 'retry: 1000\n\n:\n\nid: 7.ü\nevent: revocation\ndata: a\ndata:b\n\n: x\nfoo: 1\n\n'
const messages = [
  { type: 'retry', delayMs: 1000 },
  { type: 'comment' },
  { type: 'event', id: '7.ü', name: 'revocation', data: 'a\nb' },
  { type: 'comment' },
]

t.test('parses the events of an issuer, in chunks of any size', async (t) => {
  t.same(readAll(stream), messages)
  t.same(readAll(stream.replaceAll('\n', '\r\n')), messages)
  const bytes = Buffer.from(stream)
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const chunks = at.slice(1).map((end, n) => bytes.subarray(at[n], end))
      t.same(readAll(...chunks), messages)
    }),
    { numRuns: 100 },
  )
})

t.test('a field may have no value, and a delay that is no number is ignored', async (t) => {
  const event = { type: 'event', id: '', name: '', data: 'a\n' }
  t.same(readAll('data: a\ndata\nfoo\n\n'), [event])
  t.same(readAll('data\n\n'), [{ ...event, data: '' }], 'an empty event is an event')
  t.same(readAll('id: 1\nevent: a\n\n'), [], 'an event without data is none')
  for (const value of ['', 'x5', '5x', '-1', '9'.repeat(10)]) {
    t.same(readAll(`retry: ${value}\n`), [], value)
  }
})

t.test('an event has no fields of the previous one', async (t) => {
  t.same(readAll('id: 1\nevent: a\ndata: x\n\ndata: y\n\n').at(1), {
    type: 'event',
    id: '',
    name: '',
    data: 'y',
  })
})

t.test('an endless line or event is rejected', async (t) => {
  const half = 'x'.repeat(maxEventBytes / 2)
  t.throws(() => readAll(`data: ${half}`, half), /longer than/)
  t.throws(() => readAll(`data: ${half}${half}\n\n`), /longer than/, 'in one chunk')
  t.throws(() => readAll(`: ${half}`, half, half), /longer than/, 'a comment')
  t.throws(() => readAll(`data: ${half}\n`, `data: ${half}\n`, 'data: x\n'), /longer than/)
  const parser = new EventStreamParser()
  for (let n = 0; n < 10; n++) t.equal(parser.parse(Buffer.from(`data: ${half}\n\n`)).length, 1)
})

t.test('bytes that are not UTF-8 are rejected', async (t) => {
  t.throws(() => readAll(Buffer.from([0x64, 0xff, 0x0a])))
})

t.test('any input is parsed, or rejected with an Error', async (t) => {
  const piece = fc.oneof(
    fc.constantFrom('\n', '\r\n', 'data:', 'id: ', ':', 'retry: 5', 'event: '),
    fc.uint8Array({ maxLength: 5 }),
  )
  const known = ['event', 'comment', 'retry']
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      try {
        return readAll(...pieces).every(({ type }) => known.includes(type))
      } catch (error) {
        return error instanceof TypeError // bytes that are no UTF-8
      }
    }),
  )
  t.pass('no other type came of it')
})
