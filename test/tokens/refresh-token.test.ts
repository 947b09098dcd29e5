import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/secrets.ts'
import { RefreshTokenCodec } from '../../src/tokens/refresh-token.ts'
import fc, { anyText } from '../support/properties.ts'

const oldSecret = Buffer.from('an old secret of at least 32 characters')
const newSecret = Buffer.from('a new secret of at least 32 characters!')
const codec = new RefreshTokenCodec([newSecret, oldSecret])
const generations = fc.nat(2 ** 31)

function refused(token: string): boolean {
  try {
    codec.parse(token)
    return false
  } catch (error) {
    return isGatepassError(error, 'refresh_token_malformed')
  }
}

t.test('reads back what it mints, and mints the same again', async (t) => {
  fc.assert(
    fc.property(generations, (generation) => {
      const sid = randomId()
      const token = codec.mint({ sid, generation })
      t.same(codec.parse(token), { sid, generation })
      return token === codec.mint({ sid, generation })
    }),
  )
})

t.test('I2: refuses every change of a token', async (t) => {
  const token = codec.mint({ sid: randomId(), generation: 7 })
  fc.assert(
    fc.property(fc.nat(token.length), fc.string({ maxLength: 3 }), (at, put) => {
      const changed = token.slice(0, at) + put + token.slice(at + 1)
      return changed === token || refused(changed)
    }),
  )
  t.ok(refused(token.replace(/.(?=[\w-]{43}$)/, '_')), 'the dot that no MAC covers')
})

t.test('I2: refuses any text that it did not mint', async () => {
  fc.assert(fc.property(fc.oneof(fc.string(), anyText), refused))
})

t.test("I2: refuses another session's generation", async (t) => {
  const mine = codec.mint({ sid: randomId(), generation: 1 })
  const other = codec.mint({ sid: randomId(), generation: 1 })
  t.ok(refused(mine.slice(0, mine.lastIndexOf('.')) + other.slice(other.lastIndexOf('.'))))
})

t.test('I2: refuses another encoding of the same MAC', async (t) => {
  const token = codec.mint({ sid: randomId(), generation: 1 })
  for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
    const spelled = token.slice(0, -1) + last
    t.equal(spelled === token || refused(spelled), true)
  }
})

t.test('an older secret is still accepted, the newest one mints', async (t) => {
  const before = new RefreshTokenCodec([oldSecret])
  const parts = { sid: randomId(), generation: 3 }
  t.same(codec.parse(before.mint(parts)), parts)
  t.equal(codec.mint(parts), new RefreshTokenCodec([newSecret]).mint(parts))
})

t.test('accepts the longest generation', async (t) => {
  const parts = { sid: randomId(), generation: 9_999_999_999 }
  t.same(codec.parse(codec.mint(parts)), parts)
})
