import t from 'tap'
import { FieldCipher, type FieldPlace } from '../../src/data/field-cipher.ts'
import fc from '../support/properties.ts'

const [oldSecret, newSecret] = ['o'.repeat(43), 'n'.repeat(43)] as const
const name = fc.stringMatching(/^[\w-]{1,20}$/)
const place: fc.Arbitrary<FieldPlace> = fc.record({
  owner: fc.record({ scope: fc.constantFrom('session', 'user'), id: name }),
  field: name,
  version: name,
})
const bytes = fc.uint8Array({ maxLength: 2000 }).map((array) => Buffer.from(array))

t.test('a value decrypts only in its place', async () => {
  const cipher = new FieldCipher([newSecret])
  fc.assert(
    fc.property(place, place, bytes, (here, there, value) => {
      const encrypted = cipher.encrypt(here, value)
      const isSame = JSON.stringify(here) === JSON.stringify(there)
      const decrypted = cipher.decrypt(here, encrypted)
      return (
        decrypted?.equals(value) === true && (isSame || cipher.decrypt(there, encrypted) === null)
      )
    }),
  )
})

t.test('a changed, added or missing byte is detected', async () => {
  const cipher = new FieldCipher([newSecret])
  fc.assert(
    fc.property(place, bytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (here, value, at, x) => {
      const encrypted = cipher.encrypt(here, value)
      const changed = Buffer.from(encrypted)
      const index = at % encrypted.length
      changed[index] = (changed[index] ?? 0) ^ x
      const others = [
        changed,
        encrypted.subarray(0, index),
        Buffer.concat([encrypted, Buffer.of(0)]),
      ]
      return others.every((other) => cipher.decrypt(here, other) === null)
    }),
  )
})

t.test('secrets rotate: the first encrypts, all decrypt', async (t) => {
  const here: FieldPlace = { owner: { scope: 'user', id: 'u' }, field: 'cart', version: 'v' }
  const value = Buffer.from('2 shirts')
  const [before, during, after] = [
    new FieldCipher([oldSecret]),
    new FieldCipher([newSecret, oldSecret]),
    new FieldCipher([newSecret]),
  ]
  t.same(during.decrypt(here, before.encrypt(here, value)), value)
  t.same(after.decrypt(here, during.encrypt(here, value)), value)
  t.equal(after.decrypt(here, before.encrypt(here, value)), null)
})

t.test('encryption is randomized and hides the value', async (t) => {
  const cipher = new FieldCipher([newSecret])
  const here: FieldPlace = { owner: { scope: 'user', id: 'u' }, field: 'cart', version: 'v' }
  const value = Buffer.from('a secret wish')
  const [one, other] = [cipher.encrypt(here, value), cipher.encrypt(here, value)]
  t.notOk(one.equals(other))
  t.notOk(one.includes('wish'))
})

t.test('owners whose keys were evicted can still be read', async (t) => {
  const cipher = new FieldCipher([newSecret])
  const of = (n: number): FieldPlace => ({
    owner: { scope: 'session', id: `s${n}` },
    field: 'cart',
    version: 'v',
  })
  const count = 10_100
  const encrypted = Array.from({ length: count }, (_, n) =>
    cipher.encrypt(of(n), Buffer.from(`${n}`)),
  )
  for (const n of [0, 99, 100, count - 1]) {
    t.same(cipher.decrypt(of(n), encrypted[n] as Buffer), Buffer.from(`${n}`))
    t.equal(cipher.decrypt(of(n + 1), encrypted[n] as Buffer), null)
  }
})

t.test('no nonce repeats', async (t) => {
  const cipher = new FieldCipher([newSecret])
  const here: FieldPlace = { owner: { scope: 'user', id: 'u' }, field: 'cart', version: 'v' }
  const nonces = Array.from({ length: 2_000 }, () =>
    cipher.encrypt(here, Buffer.alloc(0)).toString('hex', 5, 17),
  )
  t.equal(new Set(nonces).size, nonces.length)
})

t.test('a cached decryption does not accept a changed value', async (t) => {
  const cipher = new FieldCipher([newSecret])
  const here: FieldPlace = { owner: { scope: 'user', id: 'u' }, field: 'cart', version: 'v' }
  const value = Buffer.from('2 shirts')
  const encrypted = cipher.encrypt(here, value)
  const changed = Buffer.from(encrypted)
  changed[20] = (changed[20] ?? 0) ^ 1
  for (let n = 0; n < 2; n++) {
    t.same(cipher.decrypt(here, encrypted), value)
    t.equal(cipher.decrypt(here, changed), null)
    t.equal(cipher.decrypt({ ...here, version: 'w' }, encrypted), null)
    t.equal(cipher.decrypt({ ...here, field: 'theme' }, encrypted), null)
  }
  const next = cipher.encrypt({ ...here, version: 'w' }, Buffer.from('3 shirts'))
  t.same(cipher.decrypt({ ...here, version: 'w' }, next), Buffer.from('3 shirts'))
})
