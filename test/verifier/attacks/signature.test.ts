import t from 'tap'
import { mint, withSignature } from '../../support/tokens.ts'
import { keyOf, keys, openHarness } from '../harness.ts'

const es256 = keyOf('ES256')

/** The order of P-256. */
const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

function bytes32(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}

function number(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}

t.test('A11: r or s zero or out of range', async (t) => {
  const expect = await openHarness(t)
  const token = mint(es256)
  const wrong = [0n, n, n + 1n, 2n ** 256n - 1n]
  for (const r of wrong) {
    for (const s of wrong) {
      await expect(
        withSignature(token, () => Buffer.concat([bytes32(r), bytes32(s)])),
        'token_signature',
      )
    }
    await expect(
      withSignature(token, (own) => Buffer.concat([bytes32(r), own.subarray(32)])),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => Buffer.concat([own.subarray(0, 32), bytes32(r)])),
      'token_signature',
    )
  }
  for (const key of keys) {
    for (const fill of [0x00, 0xff]) {
      await expect(
        withSignature(mint(key), (own) => Buffer.alloc(own.length, fill)),
        'token_signature',
      )
    }
  }
})

t.test('A12: a signature of the wrong length', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    const token = mint(key)
    const zero = Buffer.alloc(1)
    await expect(
      withSignature(token, (own) => own.subarray(1)),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => own.subarray(0, -1)),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => Buffer.concat([own, zero])),
      'token_signature',
    )
    await expect(
      withSignature(token, (own) => Buffer.concat([zero, own])),
      'token_signature',
    )
    const twice = withSignature(token, (own) => Buffer.concat([own, own]))
    if (twice.length <= 8192) await expect(twice, 'token_signature')
  }
  const asDer = (own: Buffer): Buffer => {
    const part = (bytes: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), bytes])
    const body = Buffer.concat([part(own.subarray(0, 32)), part(own.subarray(32))])
    return Buffer.concat([Buffer.from([0x30, body.length]), body])
  }
  await expect(withSignature(mint(es256), asDer), 'token_signature', 'a DER signature')
  const padded = (own: Buffer) =>
    Buffer.concat([Buffer.alloc(2), own.subarray(0, 32), Buffer.alloc(2), own.subarray(32)])
  await expect(withSignature(mint(es256), padded), 'token_signature', '34 bytes a number')
})

t.test('A13: the high-s twin of an ECDSA signature is accepted', async (t) => {
  const expect = await openHarness(t)
  const token = mint(es256)
  const twin = withSignature(token, (own) =>
    Buffer.concat([own.subarray(0, 32), bytes32(n - number(own.subarray(32)))]),
  )
  t.not(twin, token)
  await expect(token, 'accepted')
  await expect(twin, 'accepted')
})

t.test('A13: an Ed25519 signature has no twin', async (t) => {
  const expect = await openHarness(t)
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const twin = withSignature(mint(keyOf('Ed25519')), (own) => {
    const s = number(Buffer.from(own.subarray(32)).reverse()) + order
    return Buffer.concat([own.subarray(0, 32), bytes32(s).reverse()])
  })
  await expect(twin, 'token_signature')
})
