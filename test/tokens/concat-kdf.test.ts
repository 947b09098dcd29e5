import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import t from 'tap'
import { concatKdf } from '../../src/tokens/concat-kdf.ts'

// RFC 7518, appendix C.
const alice = {
  kty: 'EC',
  crv: 'P-256',
  x: 'gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0',
  y: 'SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps',
}
const bob = {
  kty: 'EC',
  crv: 'P-256',
  x: 'weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ',
  y: 'e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck',
  d: 'VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw',
}
const context = {
  algorithm: 'A128GCM',
  partyU: Buffer.from('Alice'),
  partyV: Buffer.from('Bob'),
  keyBits: 128,
}

t.test('the example of RFC 7518, appendix C', async (t) => {
  const secret = diffieHellman({
    privateKey: createPrivateKey({ key: bob, format: 'jwk' }),
    publicKey: createPublicKey({ key: alice, format: 'jwk' }),
  })
  t.equal(secret.subarray(0, 4).toString('hex'), '9e56d91d')
  t.equal(concatKdf(secret, context).toString('base64url'), 'VqqN6vgjbSBcIijNcacQGg')
})

t.test('a key depends on all that it is for', async (t) => {
  const secret = Buffer.alloc(32, 1)
  const all = [
    context,
    { ...context, algorithm: 'A256GCM' },
    { ...context, partyU: Buffer.from('Alic'), partyV: Buffer.from('eBob') },
    { ...context, keyBits: 256 },
  ].map((each) => concatKdf(secret, each))
  t.equal(new Set(all.map((key) => key.toString('hex', 0, 16))).size, all.length)
  t.same(
    all.map((key) => key.length),
    [16, 16, 16, 32],
  )
  t.throws(() => concatKdf(secret, { ...context, keyBits: 512 }))
})
