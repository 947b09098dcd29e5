import t from 'tap'
import { KeySeal } from '../../src/keys/seal.ts'
import type { KeyRecord, StoredKey } from '../../src/keys/store.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { newRecord } from './support.ts'

const [older, newer] = ['older-secret'.padEnd(32, '.'), 'newer-secret'.padEnd(32, '.')] as const
const record = await newRecord()
const other = await newRecord()

/** The stored record, with members of its JSON changed. */
function changed(stored: StoredKey, changes: Record<string, unknown>): StoredKey {
  const content = { ...JSON.parse(stored.text), ...changes }
  return { name: content.name, text: JSON.stringify(content) }
}

const encryptedKeyOf = ({ text }: StoredKey): string => JSON.parse(text).encryptedKey

/** With one byte of one of the parts changed. */
function* tampered(jwe: string): Generator<string> {
  const parts = jwe.split('.')
  for (const [position, part] of parts.entries()) {
    for (const at of Buffer.from(part, 'base64url').keys()) {
      const bytes = Buffer.from(part, 'base64url')
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at)
      yield parts.with(position, bytes.toString('base64url')).join('.')
    }
  }
}

t.test('a key of every algorithm survives being sealed', async (t) => {
  const seal = new KeySeal([newer])
  for (const alg of algorithmNames) {
    const record = await newRecord({ alg })
    const stored = await seal.seal(record)
    t.strictSame(await seal.open(stored), { ...record, isCurrent: true }, alg)
    t.notMatch(stored.text, 'privateJwk')
    for (const [member, value] of Object.entries(record.privateJwk)) {
      if (['kty', 'crv', 'alg', 'e'].includes(member)) continue
      t.notOk(stored.text.includes(String(value)), `${alg} ${member}`)
    }
  }
})

t.test('it is an encrypted JWK, and sealed anew it is another text', async (t) => {
  const seal = new KeySeal([newer])
  const [a, b] = [await seal.seal(record), await seal.seal(record)]
  t.not(encryptedKeyOf(a), encryptedKeyOf(b))
  const [header = '', key] = encryptedKeyOf(a).split('.')
  t.equal(key, '')
  t.strictSame(JSON.parse(Buffer.from(header, 'base64url').toString()), {
    alg: 'dir',
    enc: 'A256GCM',
    cty: 'jwk+json',
  })
})

t.test('a ciphertext with any byte changed does not open', async (t) => {
  const seal = new KeySeal([newer])
  const stored = await seal.seal(record)
  let count = 0
  for (const encryptedKey of tampered(encryptedKeyOf(stored))) {
    count++
    await seal.open(changed(stored, { encryptedKey })).then(
      () => t.fail(`it opened with change ${count}`),
      (error) => error.code === 'key_store_invalid' || t.fail(error),
    )
  }
  t.ok(count > 200, `${count} changes`)
})

t.test('nor does one that was moved, or whose record says something else', async (t) => {
  const seal = new KeySeal([newer])
  const stored = await seal.seal(record)
  const moves: StoredKey[] = [
    changed(await seal.seal(other), { encryptedKey: encryptedKeyOf(stored) }),
    changed(stored, { name: 'epoch-2-Ed25519' }),
    changed(stored, { kid: other.kid }),
    changed(stored, { alg: 'ES256' }),
    changed(stored, { createdAtMs: record.createdAtMs + 1 }),
    changed(stored, { activateAtMs: record.activateAtMs + 1 }),
    changed(stored, { encryptedKey: '' }),
    changed(stored, { encryptedKey: 'a.b.c.d.e' }),
  ]
  for (const moved of moves) {
    await t.rejects(seal.open(moved), { code: 'key_store_invalid', detail: `"${moved.name}"` })
  }
})

t.test('only what we encrypt as we do it is opened', async (t) => {
  const { CompactEncrypt } = await import('jose')
  const plain = Buffer.from(JSON.stringify(record.privateJwk))
  const stored = await new KeySeal([newer]).seal(record)
  for (const header of [
    { alg: 'A256KW', enc: 'A256GCM' },
    { alg: 'A256GCMKW', enc: 'A256GCM' },
    { alg: 'PBES2-HS256+A128KW', enc: 'A256GCM' },
  ]) {
    const encryptedKey = await new CompactEncrypt(plain)
      .setProtectedHeader(header)
      .encrypt(Buffer.from(newer))
    await t.rejects(new KeySeal([newer]).open(changed(stored, { encryptedKey })), {
      code: 'key_store_invalid',
    })
  }
})

t.test('a wrong secret opens nothing, and the refusal shows neither', async (t) => {
  const stored = await new KeySeal([older]).seal(record)
  for (const secrets of [[newer], [], [`${older}x`]]) {
    const error = await new KeySeal(secrets).open(stored).catch((error: Error) => error)
    t.match(error, { code: 'key_store_invalid', detail: /"epoch-1-Ed25519".*no secret/ })
    const text = `${(error as Error).stack} ${(error as Error).cause}`
    for (const hidden of [older, newer, encryptedKeyOf(stored)]) t.notOk(text.includes(hidden))
  }
})

t.test('a secret is replaced in three steps: old, both, new', async (t) => {
  const isCurrent = async (secrets: string[], stored: StoredKey) =>
    (await new KeySeal(secrets).open(stored)).isCurrent
  const byOld = await new KeySeal([older]).seal(record)
  t.equal(await isCurrent([older], byOld), true)
  t.equal(await isCurrent([older, newer], byOld), true, 'one may know the new secret first')
  t.equal(await isCurrent([newer, older], byOld), false, 'to be sealed anew')
  const byNew = await new KeySeal([newer, older]).seal(record)
  t.equal(await isCurrent([older, newer], byNew), false)
  t.equal(await isCurrent([newer], byNew), true)
})

t.test('without a secret keys are in the clear, and such are opened by all', async (t) => {
  const stored = await new KeySeal([]).seal(record)
  t.strictSame(JSON.parse(stored.text).privateJwk, record.privateJwk)
  t.strictSame(await new KeySeal([]).open(stored), { ...record, isCurrent: true })
  t.strictSame(await new KeySeal([newer]).open(stored), { ...record, isCurrent: false })
})

t.test('a record whose key is not what it says is refused', async (t) => {
  const seal = new KeySeal([])
  const lies: Partial<KeyRecord>[] = [
    { kid: other.kid },
    { privateJwk: other.privateJwk },
    { alg: 'ES256' },
  ]
  for (const lie of lies) {
    const stored = changed(await seal.seal(record), { ...lie })
    await t.rejects(seal.open(stored), { code: 'key_store_invalid', detail: /"epoch-1-Ed25519"/ })
    // Encrypted by ourselves it is not believed either.
    const sealed = await new KeySeal([newer]).seal({ ...record, ...lie })
    await t.rejects(new KeySeal([newer]).open(sealed), { code: 'key_store_invalid' })
  }
})
