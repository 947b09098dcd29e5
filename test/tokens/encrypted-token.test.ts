import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { addJwsOptions } from '../../src/tokens/algorithms.ts'
import {
  concatKdf,
  decryptToken,
  encryptedTokenBytes,
  encryptToken,
  parseEncrypted,
} from '../../src/tokens/encrypted-token.ts'
import {
  type DecryptionKey,
  type EncryptionKey,
  encryptionCurves,
  type ImportResult,
  importDecryptionKey,
  importEncryptionKey,
} from '../../src/tokens/encryption-key.ts'
import { signAccessToken } from '../../src/tokens/signing.ts'
import { type EncryptionPair, encryptFor, makeEncryptionPair } from '../support/encryption.ts'
import fc from '../support/properties.ts'
import { claimsWith, makeKey } from '../support/tokens.ts'

const pairs = encryptionCurves.map((crv) => makeEncryptionPair(crv))
const signed = 'eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl'

function got<Key>(imported: ImportResult<Key>): Key {
  if (!imported.ok) throw new Error(imported.reason)
  return imported.key
}

const publicKey = (pair: EncryptionPair): EncryptionKey => got(importEncryptionKey(pair.publicJwk))
const privateKey = (pair: EncryptionPair): DecryptionKey =>
  got(importDecryptionKey(pair.privateJwk))

/** Returns the content of a token, or the code of the refusal. */
function open(token: string, pair: EncryptionPair, maxBytes?: number): string {
  try {
    return decryptToken(parseEncrypted(token, maxBytes), privateKey(pair))
  } catch (error) {
    if (isGatepassError(error)) return error.code
    throw error
  }
}

for (const pair of pairs) {
  const name = pair.crv
  const nodeKey = {
    public: createPublicKey({ key: pair.publicJwk, format: 'jwk' }),
    private: createPrivateKey({ key: pair.privateJwk, format: 'jwk' }),
  }

  t.test(`${name}: jose decrypts our tokens`, async (t) => {
    const token = encryptToken(signed, publicKey(pair))
    const { plaintext, protectedHeader } = await compactDecrypt(token, nodeKey.private)
    t.equal(Buffer.from(plaintext).toString(), signed)
    t.match(protectedHeader, {
      alg: 'ECDH-ES',
      enc: 'A256GCM',
      kid: pair.kid,
      typ: 'at+jwt',
      cty: 'JWT',
    })
    t.same(Object.keys(protectedHeader), ['alg', 'enc', 'kid', 'typ', 'cty', 'epk'])
    t.notOk(Object.hasOwn(Object(protectedHeader.epk), 'd'))
  })

  t.test(`${name}: tokens that jose encrypted are decrypted`, async (t) => {
    const header = { alg: 'ECDH-ES', enc: 'A256GCM', kid: pair.kid, cty: 'JWT' }
    const encryption = () =>
      new CompactEncrypt(Buffer.from(signed)).setProtectedHeader({ ...header, typ: 'at+jwt' })
    t.equal(open(await encryption().encrypt(nodeKey.public), pair), signed)
    const parties = { apu: Buffer.from('Alice'), apv: Buffer.from('Bob') }
    const named = encryption().setKeyManagementParameters(parties)
    t.equal(open(await named.encrypt(nodeKey.public), pair), signed, 'with apu and apv')
  })

  t.test(`${name}: any content is decrypted, and has the length that was computed`, async (t) => {
    const characters = fc.string({
      unit: fc.integer({ min: 0, max: 127 }).map(String.fromCharCode),
    })
    const keys = { public: publicKey(pair), private: privateKey(pair) }
    fc.assert(
      fc.property(characters, (text) => {
        const token = encryptToken(text, keys.public)
        t.equal(token.length, encryptedTokenBytes(text.length, keys.public))
        t.equal(decryptToken(parseEncrypted(token), keys.private), text)
      }),
    )
  })

  t.test(`${name}: no two tokens share an ephemeral key or an iv`, async (t) => {
    const tokens = Array.from({ length: 50 }, () =>
      parseEncrypted(encryptToken(signed, publicKey(pair))),
    )
    t.equal(new Set(tokens.map(({ epk }) => epk.x)).size, 50)
    t.equal(new Set(tokens.map(({ iv }) => iv.toString('hex'))).size, 50)
  })

  t.test(`${name}: a changed or truncated token is refused`, async (t) => {
    const token = encryptToken(signed, publicKey(pair))
    const place = fc.integer({ min: 0, max: token.length - 1 })
    fc.assert(
      fc.property(place, fc.constantFrom(...'.Aab0-_= \n\0é'), (at, character) => {
        fc.pre(token[at] !== character)
        const changed = `${token.slice(0, at)}${character}${token.slice(at + 1)}`
        t.match(
          open(changed, pair),
          /^token_(malformed|algorithm|type|key_unknown)$/,
          `${at}: ${character}`,
        )
      }),
      { numRuns: 300 },
    )
    for (let end = 0; end < token.length; end += 7) {
      t.match(open(token.slice(0, end), pair), /^token_malformed$/)
    }
    t.equal(open(token, makeEncryptionPair(pair.crv)), 'token_malformed', 'another key')
  })

  t.test(`${name}: a header of another form is refused`, async (t) => {
    const bad = {
      token_algorithm: [
        { alg: 'ECDH-ES+A256KW' },
        { alg: 'dir' },
        { alg: 'RSA-OAEP' },
        { alg: 'ecdh-es' },
        { alg: undefined },
        { enc: 'A128GCM' },
        { enc: 'A256CBC-HS512' },
        { enc: null },
        { zip: 'DEF' },
        { zip: '' },
      ],
      token_type: [
        { typ: 'JWT' },
        { typ: null },
        { cty: undefined },
        { cty: 'at+jwt' },
        { cty: 1 },
      ],
      token_key_unknown: [{ kid: undefined }],
      token_malformed: [
        { crit: [] },
        { crit: ['exp'] },
        { kid: '' },
        { kid: 'x'.repeat(257) },
        { apu: 1 },
        { apu: 'QQ==' },
        { apv: 'QR' },
        { epk: undefined },
        { epk: 'text' },
        { epk: {} },
      ],
    }
    for (const [code, headers] of Object.entries(bad)) {
      for (const header of headers) {
        t.equal(open(encryptFor(pair, signed, { header }), pair), code, JSON.stringify(header))
      }
    }
    const twice = (header: object) => `${JSON.stringify(header).slice(0, -1)},"enc":"A256GCM"}`
    t.equal(open(encryptFor(pair, signed, { headerText: twice }), pair), 'token_malformed')
    for (const header of [{ typ: 'AT+JWT' }, { typ: 'application/at+jwt' }, { cty: 'jwt' }]) {
      t.equal(open(encryptFor(pair, signed, { header }), pair), signed, JSON.stringify(header))
    }
  })

  t.test(`${name}: parts of another size are refused`, async (t) => {
    t.equal(open(encryptFor(pair, signed, { ivBytes: 16 }), pair), 'token_malformed')
    const parts = encryptToken(signed, publicKey(pair)).split('.')
    const withPart = (at: number, part: string) => open(parts.with(at, part).join('.'), pair)
    t.equal(withPart(1, 'AAAA'), 'token_malformed', 'a wrapped key')
    // By itself, node:crypto would compare as many bytes of the tag as there are.
    const tag = Buffer.from(parts[4] ?? '', 'base64url')
    for (const bytes of [0, 4, 8, 12, 15]) {
      const short = tag.subarray(0, bytes).toString('base64url')
      t.equal(withPart(4, short), 'token_malformed', `a tag of ${bytes} bytes`)
    }
    t.equal(open(`${parts.join('.')}.`, pair), 'token_malformed', 'six parts')
    t.equal(open(signed, pair), 'token_malformed', 'three parts')
  })
}

t.test('an epk off the curve, on another curve or of small order is refused', async (t) => {
  const [p256, x25519] = pairs
  if (p256 === undefined || x25519 === undefined) throw new Error('there are two')
  const point = makeEncryptionPair().publicJwk
  const small = { kty: 'OKP', crv: 'X25519', x: Buffer.alloc(32).toString('base64url') }
  const order8 = 'e0dqN8ZrMFP4N8fHbGIMVFEIEHm6CIjdpBvBdU3FEg4'
  const none = { kty: 'EC', crv: 'P-256', x: small.x, y: small.x }
  for (const epk of [{ ...point, x: point.y }, none, { ...point, crv: 'P-384' }, small]) {
    t.equal(open(encryptFor(p256, signed, { header: { epk } }), p256), 'token_malformed')
  }
  for (const epk of [small, { ...small, x: order8 }, { ...small, x: `${small.x}A` }, point]) {
    t.equal(open(encryptFor(x25519, signed, { header: { epk } }), x25519), 'token_malformed')
  }
})

t.test('a token that is too long is refused', async (t) => {
  const [pair] = pairs
  if (pair === undefined) throw new Error('there is none')
  const token = encryptToken(signed, publicKey(pair))
  t.equal(open(token, pair, token.length), signed)
  t.equal(open(token, pair, token.length - 1), 'token_malformed')
  t.equal(open('.'.repeat(10_000_000), pair), 'token_malformed')
  t.equal(open(null as unknown as string, pair), 'token_malformed')
})

t.test('the size limit applies to the encrypted token', async (t) => {
  const { kid, alg, privateKey: key } = makeKey('ES256')
  const signingKey = { kid, alg, key: addJwsOptions(key, alg) }
  for (const pair of pairs) {
    const sign = (padding: number) =>
      signAccessToken(
        claimsWith({ padding: 'x'.repeat(padding) }) as unknown as AccessTokenClaims,
        signingKey,
        publicKey(pair),
      )
    let largest = ''
    let padding = 1500
    await t.rejects(
      async () => {
        for (; ; padding += 1) largest = await sign(padding)
      },
      { code: 'token_too_large', detail: /would have 40(9[789]|\d\d) bytes.*padding/ },
    )
    t.ok(largest.length > 4090 && largest.length <= 4096, `${largest.length}`)
    t.equal(open(largest, pair).split('.').length, 3)
  }
})

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

t.test('the KDF gives the result of RFC 7518, appendix C', async (t) => {
  const secret = diffieHellman({
    privateKey: createPrivateKey({ key: bob, format: 'jwk' }),
    publicKey: createPublicKey({ key: alice, format: 'jwk' }),
  })
  t.equal(secret.subarray(0, 4).toString('hex'), '9e56d91d')
  t.equal(concatKdf(secret, context).toString('base64url'), 'VqqN6vgjbSBcIijNcacQGg')
})

t.test('a derived key depends on every input', async (t) => {
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
