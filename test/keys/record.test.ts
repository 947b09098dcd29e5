import { calculateJwkThumbprint, importJWK } from 'jose'
import t from 'tap'
import {
  importPrivateKey,
  keyNamePattern,
  publicJwkOf,
  recordProblem,
} from '../../src/keys/record.ts'
import type { KeyRecord } from '../../src/keys/store.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { newRecord } from './support.ts'

t.test('a key of every algorithm is made, and is ready to sign', async (t) => {
  for (const alg of algorithmNames) {
    const record = await newRecord({ alg })
    t.equal(await recordProblem(record), null, alg)
    t.equal(importPrivateKey(record).type, 'private')
  }
})

t.test('the public half has exactly the public members', async (t) => {
  const members = {
    ES256: ['kty', 'crv', 'x', 'y'],
    Ed25519: ['kty', 'crv', 'x'],
    RS256: ['kty', 'n', 'e'],
    PS256: ['kty', 'n', 'e'],
    'ML-DSA-44': ['kty', 'pub'],
  }
  for (const alg of algorithmNames) {
    const record = await newRecord({ alg })
    const jwk = publicJwkOf(record)
    t.strictSame(Object.keys(jwk), [...members[alg], 'kid', 'alg', 'use'], alg)
    t.match(jwk, { kid: record.kid, alg, use: 'sig' })
    t.equal(await calculateJwkThumbprint(jwk), record.kid)
    t.match(await importJWK(jwk, alg), { type: 'public' })
  }
})

t.test('RSA keys have 2048 bits', async (t) => {
  const { n } = publicJwkOf(await newRecord({ alg: 'RS256' }))
  t.equal(Buffer.from(String(n), 'base64url').length, 256)
})

t.test('a record whose parts do not fit is a problem', async (t) => {
  const record = await newRecord()
  const other = await newRecord()
  const { privateJwk } = record
  const cases: [Partial<KeyRecord>, RegExp][] = [
    [{ alg: 'ES256' }, /another type/],
    [{ privateJwk: { ...privateJwk, crv: 'X' } }, /another type/],
    [{ privateJwk: { kty: 'OKP', crv: 'Ed25519' } }, /thumbprint/],
    [{ privateJwk: other.privateJwk }, /thumbprint/],
    [{ kid: other.kid }, /thumbprint/],
  ]
  for (const [changes, why] of cases) t.match(await recordProblem({ ...record, ...changes }), why)
})

t.test('members that make no key are refused without a word about them', async (t) => {
  const record = await newRecord()
  const broken = { ...record, privateJwk: { ...record.privateJwk, d: 'AAAA' } }
  t.throws(() => importPrivateKey(broken), { code: 'key_store_invalid', cause: undefined })
})

t.test('names are safe as file names', async (t) => {
  for (const name of ['epoch-20000-ML-DSA-44', 'manual-1700000000000-ES256']) {
    t.match(name, keyNamePattern)
  }
  for (const name of [
    '',
    '.',
    '..',
    '.hidden',
    'a/b',
    'a\\b',
    'a b',
    'a\n',
    'é',
    'a'.repeat(101),
  ]) {
    t.notMatch(name, keyNamePattern)
  }
})
