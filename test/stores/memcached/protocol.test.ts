import { deepStrictEqual } from 'node:assert/strict'
import t from 'tap'
import {
  ProtocolError,
  type Reply,
  type ReplyCode,
  ReplyParser,
} from '../../../src/stores/memcached/protocol.ts'
import fc from '../../support/properties.ts'

const flags = fc
  .uniqueArray(
    fc.tuple(fc.constantFrom('c', 'f', 'O', 't', 'k'), fc.stringMatching(/^[!-~]{0,20}$/)),
    {
      selector: ([letter]) => letter,
    },
  )
  .map((pairs) => new Map(pairs))
const plain = fc.constantFrom<ReplyCode>('HD', 'EN', 'NF', 'NS', 'EX', 'STORED')
const noProto = { noNullPrototype: true } as const
const reply: fc.Arbitrary<Reply> = fc.oneof(
  fc.record({ code: plain, flags, data: fc.constant(null), message: fc.constant('') }, noProto),
  fc.record(
    {
      code: fc.constant<ReplyCode>('VA'),
      flags,
      data: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      message: fc.constant(''),
    },
    noProto,
  ),
  fc.record(
    {
      code: fc.constantFrom<ReplyCode>('CLIENT_ERROR', 'SERVER_ERROR'),
      flags: fc.constant(new Map()),
      data: fc.constant(null),
      message: fc.stringMatching(/^[ -~]{0,50}$/),
    },
    noProto,
  ),
)

function encode({ code, flags, data, message }: Reply): Buffer {
  const told = [...flags].map(([letter, token]) => ` ${letter}${token}`).join('')
  if (code.endsWith('ERROR')) return Buffer.from(`${code} ${message}\r\n`)
  if (data === null) return Buffer.from(`${code}${told}\r\n`)
  return Buffer.concat([
    Buffer.from(`${code} ${data.length}${told}\r\n`),
    data,
    Buffer.from('\r\n'),
  ])
}

function parse(chunks: readonly Buffer[]): Reply[] {
  const parser = new ReplyParser()
  return chunks.flatMap((chunk) => parser.push(chunk))
}

/** Splits bytes into chunks of these lengths, and the rest. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let at = 0
  for (const length of lengths) {
    chunks.push(bytes.subarray(at, at + length))
    at += length
  }
  return [...chunks, bytes.subarray(at)]
}

const lengths = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 })

t.test('replies are parsed, however they are split', async () => {
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 8 }), lengths, (replies, lengths) => {
      deepStrictEqual(parse(cut(Buffer.concat(replies.map(encode)), lengths)), replies)
    }),
  )
})

t.test('any bytes are replies or a ProtocolError, however they are split', async () => {
  const outcomeOf = (chunks: readonly Buffer[]) => {
    try {
      return parse(chunks)
    } catch (error) {
      if (error instanceof ProtocolError) return 'refused'
      throw error
    }
  }
  const pieces = fc.oneof(
    reply.map(encode),
    fc.uint8Array({ maxLength: 10 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom('VA 5', '\r\n', 'HD O1', ' ', 'VA -1\r\n', 'EN\n')
      .map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), lengths, (parts, lengths) => {
      const bytes = Buffer.concat(parts)
      deepStrictEqual(outcomeOf(cut(bytes, lengths)), outcomeOf([bytes]))
    }),
    { numRuns: 500 },
  )
})

t.test('bytes that violate the protocol or its limits are refused', async (t) => {
  for (const text of [
    ...[
      'HD\n',
      'hd\r\n',
      'HD  O1\r\n',
      'HD O1 O1\r\n',
      'HD O1 \r\n',
      ' HD\r\n',
      '\r\n',
      'HD 5\r\n',
    ],
    ...[
      'VA\r\n',
      'VA x\r\n',
      'VA -1\r\n',
      'VA 1048577\r\n',
      'VA 99999999999\r\n',
      'VA 1 O1\r\nabc\r\n',
    ],
    ...['OK\r\n', 'END\r\n', 'ERRORS\r\n', 'HD \x00\r\n', 'SERVER_ERROR \x07\r\n'],
    ...[`HD k${'x'.repeat(2_048)}\r\n`, 'x'.repeat(2_049)],
  ]) {
    t.throws(() => parse([Buffer.from(text)]), ProtocolError, JSON.stringify(text.slice(0, 30)))
  }
  t.same(parse([Buffer.from('x'.repeat(2_048))]), [], 'it may yet become a line')
})
