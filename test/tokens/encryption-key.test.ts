import t from 'tap'
import {
  encryptionCurves,
  importDecryptionKey,
  importEncryptionKey,
} from '../../src/tokens/encryption-key.ts'
import { makeEncryptionPair } from '../support/encryption.ts'

/** Of small order: an agreement with it gives a secret that everybody knows (RFC 7748 §6.1). */
const smallOrder = Buffer.alloc(32).toString('base64url')

for (const crv of encryptionCurves) {
  const { publicJwk, privateJwk, kid } = makeEncryptionPair(crv)
  const other = makeEncryptionPair(crv)

  t.test(`a valid public key on ${crv} is imported, others are refused`, async (t) => {
    t.match(importEncryptionKey(publicJwk), { ok: true, key: { kid, crv } })
    const { use, alg, ...bare } = publicJwk
    t.ok(importEncryptionKey(bare).ok, 'use and alg may be left out')
    const unfit = {
      'it is not a JSON object': null,
      'it must not be a private key': privateJwk,
      'it has no acceptable kid': { ...publicJwk, kid: '' },
      'its use must be enc': { ...publicJwk, use: 'sig' },
      'its alg must be ECDH-ES': { ...publicJwk, alg: 'ECDH-ES+A256KW' },
      'its crv must be one of P-256, X25519': { ...publicJwk, crv: 'P-521' },
      [`its kty must be ${publicJwk.kty}`]: { ...publicJwk, kty: 'RSA' },
    }
    for (const [reason, jwk] of Object.entries(unfit)) {
      t.same(importEncryptionKey(jwk), { ok: false, reason })
    }
    for (const x of [undefined, 1, '', `${publicJwk.x}=`, publicJwk.x?.slice(1), smallOrder]) {
      t.match(
        importEncryptionKey({ ...publicJwk, x }),
        { ok: false, reason: /not a valid/ },
        `${x}`,
      )
    }
  })

  t.test(`a valid private key on ${crv} is imported, others are refused`, async (t) => {
    t.match(importDecryptionKey(privateJwk), { ok: true, key: { kid, crv } })
    t.match(importDecryptionKey(publicJwk), { ok: false, reason: /private member/ })
    for (const d of ['', 1, privateJwk.d?.slice(1), `${privateJwk.d}=`]) {
      t.match(importDecryptionKey({ ...privateJwk, d }), { ok: false }, `${d}`)
    }
    const mixed = { ...privateJwk, d: other.privateJwk.d }
    t.same(importDecryptionKey(mixed), { ok: false, reason: 'it is not a valid private key' })
  })
}

t.test('a point off its curve is refused', async (t) => {
  const { publicJwk, privateJwk } = makeEncryptionPair()
  for (const jwk of [publicJwk, privateJwk]) {
    const given = { ...jwk, x: jwk.y }
    const read = jwk === publicJwk ? importEncryptionKey(given) : importDecryptionKey(given)
    t.same(read, { ok: false, reason: 'it is not a valid public key' })
  }
  t.notOk(importDecryptionKey({ ...privateJwk, d: smallOrder }).ok, 'd is zero')
})
