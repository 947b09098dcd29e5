import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import type { StoredKey } from '../../src/keys/store.ts'
import {
  isRevocation,
  readKey,
  readRevocation,
  writeKey,
  writeRevocation,
} from '../../src/keys/stored-key.ts'
import { newRecord } from './support.ts'

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
const content = { ...info, privateJwk }

t.test('what is written is read, in the clear and encrypted', async (t) => {
  for (const privateKey of [{ jwk: privateJwk }, { encrypted: 'a.b.c.d.e' }]) {
    const stored = writeKey({ info: record, privateKey })
    t.equal(stored.name, record.name)
    t.notOk(isRevocation(stored))
    t.strictSame(readKey(stored), { info, privateKey })
  }
})

t.test('what is not a key is refused, and says where and why', async (t) => {
  const cases: [string, RegExp][] = [
    ['', /all of it/],
    ['null', /all of it/],
    ['[]', /all of it/],
    [JSON.stringify({ ...content, name: '../../etc/passwd' }), /name/],
    [JSON.stringify({ ...content, name: 'epoch-2-Ed25519' }), /about another name/],
    [JSON.stringify({ ...content, alg: 'HS256' }), /alg/],
    [JSON.stringify({ ...content, activateAtMs: '2' }), /activateAtMs/],
    [JSON.stringify({ ...content, activateAtMs: 1.5 }), /activateAtMs/],
    [JSON.stringify({ ...content, createdAtMs: -1 }), /createdAtMs/],
    [JSON.stringify({ ...content, extra: 1 }), /all of it/],
    [JSON.stringify({ ...content, privateJwk: null }), /privateJwk/],
    [JSON.stringify(info), /one of privateJwk and encryptedKey/],
    [JSON.stringify({ ...content, encryptedKey: 'x' }), /one of privateJwk and encryptedKey/],
  ]
  for (const [text, why] of cases) {
    const { detail } = refusalOf(() => readKey({ name: record.name, text }))
    t.match(detail, why)
    t.match(detail, /^The record "epoch-1-Ed25519" in the key store is not acceptable/)
  }
})

t.test('no refusal repeats a private key', async (t) => {
  const secret = String(privateJwk.d)
  const text = JSON.stringify(content)
  for (const broken of [text.slice(0, -2), `${text}}`, text.replace(secret, `${secret}"`)]) {
    const error = refusalOf(() => readKey({ name: record.name, text: broken }))
    t.notMatch(`${error.message} ${error.detail} ${error.cause}`, secret.slice(0, 8))
  }
})

t.test('a revocation is a record of its own, by the kid in its name', async (t) => {
  const revocation = { kid: record.kid, revokedAtMs: 7 }
  const stored = writeRevocation(revocation)
  t.equal(stored.name, `revoked-${record.kid}`)
  t.ok(isRevocation(stored))
  t.strictSame(readRevocation(stored), revocation)

  const moved: StoredKey[] = [
    { name: 'revoked-other', text: stored.text },
    { name: stored.name, text: stored.text.replace(`"kid": "${record.kid}`, '"kid": "other') },
    { name: stored.name, text: '{}' },
    { name: stored.name, text: stored.text.replace('7', '"7"') },
  ]
  for (const wrong of moved) {
    t.match(refusalOf(() => readRevocation(wrong)).detail, `"${wrong.name}"`)
  }
})
