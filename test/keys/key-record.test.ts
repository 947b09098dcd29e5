import { calculateJwkThumbprint, importJWK } from 'jose'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import {
  importPrivateKey,
  isRevocation,
  type KeyRecord,
  keyNamePattern,
  parseKey,
  parseRevocation,
  publicJwkOf,
  recordProblem,
  type StoredKey,
  serializeKey,
  serializeRevocation,
} from '../../src/keys/key-record.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { newRecord } from './support.ts'

t.test('a generated key of every algorithm can sign', async (t) => {
  for (const alg of algorithmNames) {
    const record = await newRecord({ alg })
    t.equal(recordProblem(record), null, alg)
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

t.test('a record whose members contradict each other is a problem', async (t) => {
  const record = await newRecord()
  const other = await newRecord()
  const { privateJwk } = record
  const cases: [Partial<KeyRecord>, RegExp][] = [
    [{ alg: 'ES256' }, /key type does not match/],
    [{ privateJwk: { ...privateJwk, crv: 'X' } }, /key type does not match/],
    [{ privateJwk: { kty: 'OKP', crv: 'Ed25519' } }, /thumbprint/],
    [{ privateJwk: other.privateJwk }, /thumbprint/],
    [{ kid: other.kid }, /thumbprint/],
  ]
  for (const [changes, why] of cases) t.match(recordProblem({ ...record, ...changes }), why)
})

t.test('members that are not a key are refused, and the error does not quote them', async (t) => {
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

function refusalOf(read: () => unknown) {
  try {
    read()
  } catch (error) {
    if (isGatepassError(error, 'key_store_invalid')) return error
    throw error
  }
  throw new Error('it was accepted')
}

const record = await newRecord()
const { privateJwk, revokedAtMs: _, ...info } = record
const encryptedKey = 'a.b.c.d.e'
const content = { ...info, encryptedKey }

t.test('a serialized key parses to the same key', async (t) => {
  const stored = serializeKey({ ...record, encryptedKey })
  t.equal(stored.name, record.name)
  t.notOk(isRevocation(stored))
  t.strictSame(parseKey(stored), content)
})

t.test('a record that is not a key is refused, and the error names the wrong member', async (t) => {
  const cases: [string, RegExp][] = [
    ['', /the whole text/],
    ['null', /the whole text/],
    ['[]', /the whole text/],
    [JSON.stringify({ ...content, name: '../../etc/passwd' }), /name/],
    [JSON.stringify({ ...content, name: 'epoch-2-Ed25519' }), /its name member differs/],
    [JSON.stringify({ ...content, alg: 'HS256' }), /alg/],
    [JSON.stringify({ ...content, activateAtMs: '2' }), /activateAtMs/],
    [JSON.stringify({ ...content, activateAtMs: 1.5 }), /activateAtMs/],
    [JSON.stringify({ ...content, createdAtMs: -1 }), /createdAtMs/],
    [JSON.stringify({ ...content, extra: 1 }), /members that this version does not know\. Start/],
    [JSON.stringify({ ...content, privateJwk }), /members that this version does not know/],
    [JSON.stringify({ ...content, encryptedKey: null }), /encryptedKey/],
    [JSON.stringify(info), /encryptedKey/],
  ]
  for (const [text, why] of cases) {
    const { detail } = refusalOf(() => parseKey({ name: record.name, text }))
    t.match(detail, why)
    t.match(detail, /^The record "epoch-1-Ed25519" in the key store is not acceptable/)
  }
})

t.test('no error quotes a private key', async (t) => {
  const secret = String(privateJwk.d)
  const text = JSON.stringify({ ...info, privateJwk })
  for (const broken of [text.slice(0, -2), `${text}}`, text.replace(secret, `${secret}"`)]) {
    const error = refusalOf(() => parseKey({ name: record.name, text: broken }))
    t.notMatch(`${error.message} ${error.detail} ${error.cause}`, secret.slice(0, 8))
  }
})

t.test('a revocation is a record of its own, named after the kid', async (t) => {
  const revocation = { kid: record.kid, revokedAtMs: 7 }
  const stored = serializeRevocation(revocation)
  t.equal(stored.name, `revoked-${record.kid}`)
  t.ok(isRevocation(stored))
  t.strictSame(parseRevocation(stored), revocation)

  const moved: StoredKey[] = [
    { name: 'revoked-other', text: stored.text },
    { name: stored.name, text: stored.text.replace(`"kid": "${record.kid}`, '"kid": "other') },
    { name: stored.name, text: '{}' },
    { name: stored.name, text: stored.text.replace(': 7', ': "7"') },
  ]
  for (const wrong of moved) {
    t.match(refusalOf(() => parseRevocation(wrong)).detail, `"${wrong.name}"`)
  }
})
