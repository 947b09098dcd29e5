import { generateKeyPairSync, sign, verify } from 'node:crypto'
import t from 'tap'
import { derFromRaw, rawFromDer } from '../../src/tokens/ecdsa-signature.ts'
import fc from '../support/properties.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const dsaEncoding = 'ieee-p1363'

t.test('property: node:crypto verifies both formats', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const raw = rawFromDer(sign('sha256', bytes, privateKey))
      const both =
        verify('sha256', bytes, { key: publicKey, dsaEncoding }, raw) &&
        verify('sha256', bytes, publicKey, derFromRaw(raw))
      return raw.length === 64 && both
    }),
    { numRuns: 2000 },
  )
  t.pass('2,000 signatures')
})

t.test('property: the conversions are inverse, with any number of leading zeros', async (t) => {
  const number = fc
    .tuple(fc.nat({ max: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }))
    .map(([zeros, bytes]) => Buffer.from(bytes.map((byte, at) => (at < zeros ? 0 : byte))))
  fc.assert(
    fc.property(number, number, (r, s) => {
      const raw = Buffer.concat([r, s])
      return rawFromDer(derFromRaw(raw)).equals(raw)
    }),
  )
  t.pass('any two numbers')
})

t.test('A11: zeros and ones are not valid in either format', async (t) => {
  for (const byte of [0x00, 0xff]) {
    const raw = Buffer.alloc(64, byte)
    t.equal(verify('sha256', Buffer.from('x'), publicKey, derFromRaw(raw)), false)
  }
})
