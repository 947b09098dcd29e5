import { calculateJwkThumbprint, importJWK } from 'jose'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import {
  generateKey,
  importPrivateKey,
  keyNamePattern,
  parseKeyRecord,
  publicJwkOf,
} from '../../src/keys/record.ts'
import type { KeyRecord } from '../../src/keys/store.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'

async function newRecord(alg: KeyRecord['alg'] = 'Ed25519'): Promise<KeyRecord> {
  return {
    ...(await generateKey(alg)),
    name: `epoch-1-${alg}`,
    alg,
    createdAtMs: 1,
    activateAtMs: 2,
  }
}

async function refusalOf(text: string) {
  try {
    await parseKeyRecord(text, 'the file')
  } catch (error) {
    if (isGatepassError(error, 'key_store_invalid')) return error
    throw error
  }
  throw new Error('it was accepted')
}

t.test('a key of every algorithm survives being kept', async (t) => {
  for (const alg of algorithmNames) {
    const record = await newRecord(alg)
    t.strictSame(await parseKeyRecord(JSON.stringify(record), 'the file'), record, alg)
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
    const record = await newRecord(alg)
    const jwk = publicJwkOf(record)
    t.strictSame(Object.keys(jwk), [...members[alg], 'kid', 'alg', 'use'], alg)
    t.match(jwk, { kid: record.kid, alg, use: 'sig' })
    t.equal(await calculateJwkThumbprint(jwk), record.kid)
    t.match(await importJWK(jwk, alg), { type: 'public' })
  }
})

t.test('RSA keys have 2048 bits', async (t) => {
  const { n } = publicJwkOf(await newRecord('RS256'))
  t.equal(Buffer.from(String(n), 'base64url').length, 256)
})

t.test('what is not a key is refused, and says where and why', async (t) => {
  const record = await newRecord()
  const other = await newRecord()
  const cases: [string, RegExp][] = [
    ['', /record/],
    ['null', /record/],
    ['[]', /record/],
    [JSON.stringify({ ...record, name: '../../etc/passwd' }), /name/],
    [JSON.stringify({ ...record, alg: 'HS256' }), /alg/],
    [JSON.stringify({ ...record, activateAtMs: '2' }), /activateAtMs/],
    [JSON.stringify({ ...record, activateAtMs: 1.5 }), /activateAtMs/],
    [JSON.stringify({ ...record, createdAtMs: -1 }), /createdAtMs/],
    [JSON.stringify({ ...record, extra: 1 }), /record/],
    [JSON.stringify({ ...record, privateJwk: null }), /privateJwk/],
    [JSON.stringify({ ...record, alg: 'ES256' }), /another type/],
    [JSON.stringify({ ...record, privateJwk: { ...record.privateJwk, crv: 'X' } }), /another type/],
    [JSON.stringify({ ...record, privateJwk: { kty: 'OKP', crv: 'Ed25519' } }), /thumbprint/],
    [JSON.stringify({ ...record, kid: other.kid }), /thumbprint/],
  ]
  for (const [text, why] of cases) {
    const { detail } = await refusalOf(text)
    t.match(detail, why)
    t.match(detail, /^the file does not hold a key/)
  }
})

t.test('no refusal repeats a private key', async (t) => {
  const record = await newRecord()
  const secret = String(record.privateJwk.d)
  const text = JSON.stringify(record)
  for (const broken of [text.slice(0, -2), `${text}}`, text.replace(secret, `${secret}"`)]) {
    const error = await refusalOf(broken)
    t.notMatch(`${error.message} ${error.detail} ${error.cause}`, secret.slice(0, 8))
  }
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
