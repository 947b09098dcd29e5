import { KeyObject, type webcrypto } from 'node:crypto'
import { decodeProtectedHeader, generateKeyPair, jwtVerify } from 'jose'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { type Algorithm, addJwsOptions, algorithmNames } from '../../src/tokens/algorithms.ts'
import { maxAccessTokenBytes, signAccessToken } from '../../src/tokens/signing.ts'

const claims: AccessTokenClaims = {
  iss: 'https://auth.example.com',
  sub: 'user-1',
  aud: 'https://api.example.com',
  iat: 1_700_000_000,
  exp: 1_700_000_300,
  jti: 'abcdefghijklmnopqrstuv',
  client_id: 'web',
  scope: 'profile',
  name: 'Zoë',
}
const now = new Date(1_700_000_100_000)

async function newKey(alg: Algorithm, modulusLength = 2048) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { modulusLength, extractable: true })
  return {
    publicKey,
    signing: {
      kid: 'k'.repeat(43),
      alg,
      key: addJwsOptions(KeyObject.from(privateKey as webcrypto.CryptoKey), alg),
    },
  }
}

async function refusalOf(tooLarge: AccessTokenClaims, key: Awaited<ReturnType<typeof newKey>>) {
  try {
    await signAccessToken(tooLarge, key.signing)
  } catch (error) {
    if (isGatepassError(error, 'token_too_large')) return String(error.detail)
    throw error
  }
  throw new Error('it was signed')
}

t.test('every algorithm signs a token that jose verifies', async (t) => {
  for (const alg of algorithmNames) {
    const { publicKey, signing } = await newKey(alg)
    const token = await signAccessToken(claims, signing)
    const { payload } = await jwtVerify(token, publicKey, { algorithms: [alg], currentDate: now })
    t.strictSame(payload, claims, alg)
    t.strictSame(decodeProtectedHeader(token), { alg, kid: signing.kid, typ: 'at+jwt' })
  }
})

t.test('the size is known exactly before the signature is made', async (t) => {
  const keys = [newKey('ES256'), newKey('RS256'), newKey('RS256', 3072), newKey('ML-DSA-44')]
  for (const key of await Promise.all(keys)) {
    const bare = (await signAccessToken({ ...claims, pad: '' }, key.signing)).length
    // Three bytes of payload make four characters: grow to just below the limit, then past it.
    const fits = Math.floor(((maxAccessTokenBytes - bare) * 3) / 4)
    const sizes: number[] = []
    let refused = ''
    for (let pad = fits - 4; refused === '' && pad < fits + 8; pad++) {
      const padded = { ...claims, pad: 'x'.repeat(pad) }
      try {
        sizes.push((await signAccessToken(padded, key.signing)).length)
      } catch {
        refused = await refusalOf(padded, key)
      }
    }
    const largest = Math.max(...sizes)
    t.ok(largest <= maxAccessTokenBytes && largest >= maxAccessTokenBytes - 2, key.signing.alg)
    const [, stated] = /would have (\d+) bytes/.exec(refused) ?? []
    t.ok(Number(stated) > maxAccessTokenBytes && Number(stated) <= maxAccessTokenBytes + 2)
  }
})

t.test('token_too_large names the largest claims and no value', async (t) => {
  const key = await newKey('ES256')
  const detail = await refusalOf(
    { ...claims, groups: ['secret-group'.repeat(300)], roles: 'secret-role'.repeat(20) },
    key,
  )
  t.match(detail, /largest claims: groups \(3604 bytes\), roles \(222 bytes\), \w+ \(\d+ bytes\)\./)
  t.notMatch(detail, /secret/)
})

t.test('sizes are counted in bytes, not in characters', async (t) => {
  const key = await newKey('ES256')
  const characters = 1_500
  await signAccessToken({ ...claims, text: 'e'.repeat(characters) }, key.signing)
  t.match(await refusalOf({ ...claims, text: 'é'.repeat(characters) }, key), /text \(3002 bytes\)/)
})

t.test('an undefined claim is neither in the token nor in an error', async (t) => {
  const { publicKey, signing } = await newKey('ES256')
  const token = await signAccessToken({ ...claims, absent: undefined }, signing)
  const { payload } = await jwtVerify(token, publicKey, { currentDate: now })
  t.notOk('absent' in payload)
})
