import t from 'tap'
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts'
import { encryptFor, makeEncryptionPair } from '../support/encryption.ts'
import { claimsWith, encode, headerWith, mint, withSignature } from '../support/tokens.ts'
import { keyOf, keys, openHarness, options } from './harness.ts'

const es256 = keyOf('ES256')
const pairs = [makeEncryptionPair('P-256'), makeEncryptionPair('X25519')] as const
const [p256, x25519] = pairs
const decryptionKeys = pairs.map(({ privateJwk }) => privateJwk)
const required = { decryptionKeys }
const optional = { decryptionKeys, encryptedTokens: 'optional' as const }

t.test('an encrypted token of every algorithm and curve is accepted', async (t) => {
  const expect = await openHarness(t, { ...required, maxTokenBytes: 16_384 })
  for (const key of keys) {
    for (const pair of pairs) {
      await expect(encryptFor(pair, mint(key)), 'accepted', `${key.alg}, ${pair.crv}`)
    }
  }
})

t.test('the claims are those of the signed token', async (t) => {
  const verifier = createVerifier({ ...options, ...required })
  t.same(await verifier.verify(encryptFor(p256, mint(es256))), claimsWith())
  t.same(verifier.verifySync(encryptFor(x25519, mint(es256))), claimsWith())
})

t.test('the signed token is verified like any other', async (t) => {
  const expect = await openHarness(t, required)
  const inside = async (signed: string, code: string) => expect(encryptFor(p256, signed), code)
  await inside(mint(es256, { payload: claimsWith({ exp: 1 }) }), 'token_expired')
  await inside(mint(es256, { payload: claimsWith({ aud: 'https://other.test' }) }), 'token_claims')
  await inside(mint({ ...es256, kid: 'unknown' }), 'token_key_unknown')
  await inside(mint(es256, { header: headerWith(es256, { typ: 'JWT' }) }), 'token_type')
  await inside(
    withSignature(mint(es256), (own) => own.reverse()),
    'token_signature',
  )
})

t.test('a plain token is refused if encryption is required', async (t) => {
  const strict = await openHarness(t, required)
  await strict(mint(es256), 'token_malformed')
  const lenient = await openHarness(t, optional)
  await lenient(mint(es256), 'accepted')
  await lenient(encryptFor(p256, mint(es256)), 'accepted')
  const without = await openHarness(t)
  await without(encryptFor(p256, mint(es256)), 'token_malformed')
})

t.test('A25: content that is unsigned, or encrypted once more, is refused', async (t) => {
  for (const settings of [required, optional]) {
    const expect = await openHarness(t, settings)
    const claims = JSON.stringify(claimsWith())
    await expect(encryptFor(p256, claims), 'token_malformed', 'bare claims')
    await expect(encryptFor(p256, `${encode(claims)}`), 'token_malformed')
    await expect(encryptFor(p256, claims, { header: { cty: undefined } }), 'token_type')
    const none = `${encode(headerWith(es256, { alg: 'none' }))}.${encode(claims)}.`
    await expect(encryptFor(p256, none), 'token_algorithm', 'alg none')
    await expect(encryptFor(p256, encryptFor(p256, mint(es256))), 'token_malformed', 'twice')
    await expect(encryptFor(p256, encryptFor(x25519, mint(es256))), 'token_malformed', 'for two')
    await expect(encryptFor(p256, ''), 'token_malformed', 'nothing')
    await expect(encryptFor(p256, `${mint(es256)}é`), 'token_malformed', 'not ASCII')
  }
})

t.test('A25: compression, passwords and every other algorithm are refused unread', async (t) => {
  for (const settings of [required, optional]) {
    const expect = await openHarness(t, settings)
    const headers = [
      { zip: 'DEF' },
      { alg: 'PBES2-HS256+A128KW', p2c: 2 ** 31, p2s: 'AAAA' },
      { alg: 'RSA1_5' },
      { alg: 'RSA-OAEP-256' },
      { alg: 'ECDH-ES+A128KW' },
      { alg: 'dir' },
      { alg: 'A256GCMKW' },
      { enc: 'A128CBC-HS256' },
      { enc: 'A128GCM' },
    ]
    for (const header of headers) {
      const token = encryptFor(p256, mint(es256), { header })
      await expect(token, 'token_algorithm', JSON.stringify(header))
    }
    const offCurve = { ...p256.publicJwk, x: p256.publicJwk.y }
    for (const epk of [offCurve, x25519.publicJwk, undefined]) {
      await expect(encryptFor(p256, mint(es256), { header: { epk } }), 'token_malformed', 'epk')
    }
    const padded = mint(es256, { payload: claimsWith({ padding: 'x'.repeat(6000) }) })
    await expect(encryptFor(p256, padded), 'token_malformed', 'longer than the cap')
  }
})

t.test('a cached encrypted token is found by its text', async (t) => {
  const verifier = createVerifier({ ...options, ...required })
  const signed = mint(es256)
  const token = encryptFor(p256, signed)
  const first = await verifier.verify(token)
  const claims = await verifier.verify(token)
  t.same(claims, first)
  t.equal(verifier.verifySync(token), claims)
  t.match(verifier.status().cache, { tokens: 1, hits: 2 })
  t.throws(
    () => verifier.verifySync(signed),
    { code: 'token_malformed' },
    'nor known by what is in it',
  )
  t.throws(() => verifier.verifySync(`${token.slice(0, -1)}!`), { code: 'token_malformed' })
})

t.test('an old and a new decryption key overlap', async (t) => {
  const [older, newer] = ['older', 'newer'].map((kid) => makeEncryptionPair('P-256', kid))
  if (older === undefined || newer === undefined) throw new Error('there are two')
  const both = await openHarness(t, { decryptionKeys: [newer.privateJwk, older.privateJwk] })
  await both(encryptFor(older, mint(es256)), 'accepted')
  await both(encryptFor(newer, mint(es256)), 'accepted')
  const after = await openHarness(t, { decryptionKeys: [newer.privateJwk] })
  await after(encryptFor(older, mint(es256)), 'token_key_unknown')
  await after(encryptFor({ ...older, kid: 'newer' }, mint(es256)), 'token_malformed')
})

t.test('invalid decryption keys are refused, and not quoted', async (t) => {
  const { privateJwk, publicJwk } = p256
  const refused = [
    [{ decryptionKeys: [] }, '/decryptionKeys'],
    [{ decryptionKeys: privateJwk }, '/decryptionKeys'],
    [{ decryptionKeys: Array(17).fill(privateJwk) }, '/decryptionKeys'],
    [{ decryptionKeys: [privateJwk, publicJwk] }, '/decryptionKeys/1'],
    [{ decryptionKeys: [privateJwk, privateJwk] }, '/decryptionKeys/1'],
    [{ decryptionKeys: [null] }, '/decryptionKeys/0'],
    [{ decryptionKeys: [{ ...privateJwk, alg: 'RSA-OAEP' }] }, '/decryptionKeys/0'],
    [{ decryptionKeys, encryptedTokens: 'never' }, '/encryptedTokens'],
    [{ encryptedTokens: 'optional' }, '/encryptedTokens'],
    [{ decryptionKey: [privateJwk] }, '/decryptionKey'],
  ] as const
  for (const [given, pointer] of refused) {
    try {
      createVerifier({ ...options, ...given } as unknown as VerifierOptions)
      t.fail(pointer)
    } catch (error) {
      t.match(error, { code: 'config_invalid', problems: [{ pointer }] })
      t.notOk(JSON.stringify([error, String(error)]).includes(privateJwk.d ?? ''), 'no key in it')
    }
  }
})
