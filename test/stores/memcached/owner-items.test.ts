import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import {
  decodeField,
  decodeIndex,
  encodeField,
  encodeIndex,
  encodeRetired,
  expiryOf,
  fieldKeyOf,
  locate,
} from '../../../src/stores/memcached/owner-items.ts'
import fc from '../../support/properties.ts'

const itemId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('base64url'))
const name = fc.oneof(
  fc.stringMatching(/^[\w-]{1,64}$/),
  fc.constantFrom('__proto__', 'live', 'constructor'),
)
const time = fc.integer({ min: 0, max: 2 ** 31 - 1 })
const index = fc.record(
  {
    state: fc.constantFrom<'live' | 'ended'>('live', 'ended'),
    expirySeconds: time,
    fieldsExpirySeconds: time,
    itemIds: fc.array(fc.tuple(name, itemId), { maxLength: 64 }).map((pairs) => new Map(pairs)),
  },
  { noNullPrototype: true },
)

t.test('an index is decoded as it was encoded', async (t) => {
  fc.assert(fc.property(index, (one) => t.strictSame(decodeIndex(encodeIndex(one)), one)))
})

t.test('other bytes are no index', async (t) => {
  const good = encodeIndex({
    state: 'live',
    expirySeconds: 1,
    fieldsExpirySeconds: 2,
    itemIds: new Map([['a', randomId()]]),
  })
  for (const text of [
    '',
    'live',
    'live 1',
    'live 1 2\n',
    'LIVE 1 2',
    'live 1 2\na',
    'live 1 2\na b',
    `${good}\n`,
  ]) {
    t.equal(decodeIndex(Buffer.from(text)), null, JSON.stringify(text))
  }
  fc.assert(fc.property(fc.uint8Array(), (bytes) => decodeIndex(Buffer.from(bytes)) === null))
})

t.test('a field is decoded under its own item id only', async (t) => {
  fc.assert(
    fc.property(itemId, itemId, fc.uint8Array(), (one, other, bytes) => {
      const [version, value] = [randomId(), Buffer.from(bytes)]
      const data = encodeField(one, version, value)
      t.strictSame(decodeField(data, one), { version, value })
      if (one !== other) t.equal(decodeField(data, other), null)
    }),
  )
  const one = randomId()
  t.equal(decodeField(encodeRetired(one), one), 'retired')
  t.equal(decodeField(encodeRetired(one), randomId()), null)
  t.equal(decodeField(Buffer.from(`${one}no end`), one), null)
})

t.test('keys are safe, short and unique', async (t) => {
  const ids = ['a', 'b', 'a\0b', 'x'.repeat(10_000), 'a b\r\nflush_all\r\n', 'ü']
  const owners = ids.flatMap(
    (id) =>
      [
        { scope: 'user', id },
        { scope: 'session', id },
      ] as const,
  )
  const keys = owners
    .map((owner) => locate(owner).indexKey)
    .flatMap((key) => [key, ...['a', 'b', 'ab', 'x y'].map((field) => fieldKeyOf(key, field))])
  t.ok(keys.every((key) => /^[!-~]{10,60}$/.test(key)))
  t.equal(new Set(keys).size, keys.length)
})

t.test('an expiry is a Unix second that memcached does not take for a duration', async (t) => {
  t.equal(expiryOf(1_700_000_000_001), 1_700_000_001)
  t.equal(expiryOf(1_700_000_000_000), 1_700_000_000)
  t.ok(expiryOf(0) > 30 * 24 * 3600, 'long ago, and not in a moment')
  t.equal(expiryOf(9e15), 2 ** 31 - 1)
})
