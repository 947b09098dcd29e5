import t from 'tap'
import { randomId, smallRandomBytes } from '../../src/core/secrets.ts'

t.test('no id comes twice, also where the random pool is filled again', async (t) => {
  const ids = Array.from({ length: 2_000 }, randomId)
  t.equal(new Set(ids).size, ids.length)
  t.ok(ids.every((id) => /^[\w-]{22}$/.test(id)))
})

t.test('no random bytes are drawn twice', async (t) => {
  const drawn = new Set<string>()
  for (let round = 0; round < 1_000; round += 1) {
    for (const count of [12, 16, 24]) {
      const bytes = smallRandomBytes(count)
      if (bytes.length !== count) t.fail(`${bytes.length} bytes in place of ${count}`)
      drawn.add(bytes.toString('hex', 0, 12))
    }
  }
  t.equal(drawn.size, 3_000)
})

t.test('every bit of an id is random', async (t) => {
  const bits = Array<number>(128).fill(0)
  const count = 4_096
  for (let drawn = 0; drawn < count; drawn += 1) {
    const bytes = Buffer.from(randomId(), 'base64url')
    for (let bit = 0; bit < 128; bit += 1) {
      bits[bit] = (bits[bit] ?? 0) + (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1)
    }
  }
  // Ten standard deviations: no bit of a good generator is ever so far from one half.
  const limit = 10 * Math.sqrt(count / 4)
  t.ok(bits.every((ones) => Math.abs(ones - count / 2) < limit))
})
