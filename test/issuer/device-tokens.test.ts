import t from 'tap'
import { DeviceTokens } from '../../src/issuer/device-tokens.ts'
import { RefreshTokenCodec } from '../../src/tokens/refresh-token.ts'
import fc from '../support/properties.ts'

const [oldSecret, newSecret] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const devices = new DeviceTokens([newSecret])

t.test('a device is recognized only for names that signed in on it', async (t) => {
  const token = devices.remember(undefined, 'ada')
  t.match(token, /^gpd_[\w-]{22}\.[\w-]{43}$/)
  t.match(devices.knownId(token, 'ada'), /^[\w-]{22}$/)
  t.equal(devices.knownId(token, 'eve'), null)
  t.equal(devices.knownId(undefined, 'ada'), null)
  t.not(devices.knownId(devices.remember(undefined, 'ada'), 'ada'), devices.knownId(token, 'ada'))
})

t.test('a device is recognized for the last four names', async (t) => {
  const names = ['ada', 'bob', 'cleo', 'dan', 'eve']
  let token: string | undefined
  for (const name of names) token = devices.remember(token, name)
  const ids = names.map((name) => devices.knownId(token, name))
  t.equal(ids[0], null)
  t.match(ids[1], /^[\w-]{22}$/)
  t.same(ids.slice(1), Array(4).fill(ids[1]))
  const again = devices.remember(token, 'bob')
  t.equal(again.length, token?.length, 'nobody is in it twice')
  t.equal(devices.knownId(again, 'cleo'), ids[1])
})

t.test('a rotation of secrets keeps devices recognized', async (t) => {
  const token = new DeviceTokens([oldSecret]).remember(undefined, 'ada')
  const both = new DeviceTokens([newSecret, oldSecret])
  const id = both.knownId(token, 'ada')
  t.ok(id)
  t.equal(devices.knownId(token, 'ada'), null)
  t.equal(devices.knownId(both.remember(token, 'ada'), 'ada'), id)
})

t.test('the MAC of a device token is not valid for a refresh token', async (t) => {
  const refreshTokens = new RefreshTokenCodec([newSecret])
  const token = devices.remember(undefined, '.0')
  const asRefreshToken = token.replace('gpd_', 'gpr_').replace('.', '.0.')
  t.throws(() => refreshTokens.parse(asRefreshToken), { code: 'refresh_token_malformed' })
})

t.test('the MAC of a name is not valid for the end of the name', async (t) => {
  const [id, mac] = devices.remember(undefined, 'nada').split('.')
  t.equal(devices.knownId(`${id}n.${mac}`, 'ada'), null)
})

t.test('an invalid part of a token is not copied into the next token', async (t) => {
  const long = `${devices.remember(undefined, 'ada')}${' '.repeat(100)}`
  const next = devices.remember(long, 'bob')
  t.equal(next.length, 70)
  t.ok(devices.knownId(next, 'bob'))
})

t.test('a forged token recognizes no device', async (t) => {
  const token = devices.remember(undefined, 'ada')
  const changed = fc
    .tuple(fc.nat(token.length - 1), fc.constantFrom(...'AZaz09-_. '))
    .map(([at, character]) => token.slice(0, at) + character + token.slice(at + 1))
  const cut = fc.nat(token.length - 1).map((length) => token.slice(0, length))
  const longer = fc.string({ minLength: 1, maxLength: 400 }).map((text) => token + text)
  fc.assert(
    fc.property(fc.oneof(changed, cut, fc.string()), (forged) => {
      t.ok(forged === token || devices.knownId(forged, 'ada') === null, forged)
    }),
  )
  fc.assert(fc.property(longer, (text) => devices.remember(text, 'ada').length <= 202))
})
