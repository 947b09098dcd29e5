import { CompactEncrypt } from 'jose'
import t from 'tap'
import {
  type DecryptedKey,
  EncryptedKeyStore,
  type KeySecrets,
  listKeyInfos,
} from '../../src/keys/encrypted-key-store.ts'
import type { KeyRecord, StoredKey } from '../../src/keys/key-record.ts'
import { FileKeyStore } from '../../src/keys/key-store.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { lacksPermissions } from '../support/platform.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { MemoryKeyStore, newRecord } from './support.ts'

const [older, newer] = ['older-secret'.padEnd(32, '.'), 'newer-secret'.padEnd(32, '.')] as const

/** Encrypts a record by storing it. */
async function encrypt(record: KeyRecord, secrets: KeySecrets): Promise<StoredKey> {
  const store = new MemoryKeyStore()
  await new EncryptedKeyStore(store, secrets).insertIfAbsent(record)
  return { name: record.name, text: store.texts.get(record.name) ?? '' }
}

/** Decrypts a record by reading a store that holds it. */
async function decrypt(stored: StoredKey, secrets: KeySecrets): Promise<DecryptedKey> {
  const store = new MemoryKeyStore()
  store.texts.set(stored.name, stored.text)
  const [key] = await new EncryptedKeyStore(store, secrets).list()
  if (key === undefined) throw new Error('the store is empty')
  return key
}

/** Reads the store and encrypts again, as the key manager does. */
async function maintain(encrypted: EncryptedKeyStore) {
  const keys = await encrypted.list()
  await encrypted.reencrypt(keys)
  return keys.map(({ name, isCurrent, revokedAtMs }) => ({ name, isCurrent, revokedAtMs }))
}

t.test('keys under an older secret are encrypted under the first one', async (t) => {
  const store = new MemoryKeyStore()
  const record = await newRecord()
  await new EncryptedKeyStore(store, [older]).insertIfAbsent(record)
  t.match(await maintain(new EncryptedKeyStore(store, [older, newer])), [{ isCurrent: true }])
  t.match(await maintain(new EncryptedKeyStore(store, [newer, older])), [{ isCurrent: false }])
  t.match(await new EncryptedKeyStore(store, [newer]).list(), [record])
  await t.rejects(new EncryptedKeyStore(store, [older]).list(), { code: 'key_store_invalid' })
})

t.test('a key that is encrypted under the first secret is not written again', async (t) => {
  const store = new MemoryKeyStore()
  const encrypted = new EncryptedKeyStore(store, [newer])
  await encrypted.insertIfAbsent(await newRecord())
  const before = new Map(store.texts)
  await maintain(encrypted)
  t.strictSame(store.texts, before)
})

t.test('a record that is copied to another name is refused, also after a read', async (t) => {
  const store = new MemoryKeyStore()
  const encrypted = new EncryptedKeyStore(store, [newer])
  const record = await newRecord()
  await encrypted.insertIfAbsent(record)
  t.match(await encrypted.list(), [record])
  store.texts.set('another-name', store.texts.get(record.name) ?? '')
  await t.rejects(encrypted.list(), { code: 'key_store_invalid' })
  store.texts.clear()
  t.strictSame(await encrypted.list(), [])
})

t.test('the first revocation of a key counts, and re-encryption keeps it', async (t) => {
  const store = new MemoryKeyStore()
  const record = await newRecord()
  const other = await newRecord({ name: 'epoch-2-Ed25519' })
  const old = new EncryptedKeyStore(store, [older])
  for (const one of [record, other]) await old.insertIfAbsent(one)
  const [seenBefore] = await old.list()
  await old.revoke(record.kid, 5)
  await old.revoke(record.kid, 9)

  const encrypted = new EncryptedKeyStore(store, [newer, older])
  // By a replica that read the key before the revocation and writes it afterwards.
  await encrypted.reencrypt([{ ...record, isCurrent: false }])
  t.match(seenBefore, { revokedAtMs: null })
  t.match(await maintain(encrypted), [
    { name: record.name, revokedAtMs: 5 },
    { name: other.name, revokedAtMs: null },
  ])
})

t.test('a revoked key that a backup restores stays revoked', async (t) => {
  const store = new MemoryKeyStore()
  const encrypted = new EncryptedKeyStore(store, [newer])
  const record = await newRecord()
  await encrypted.insertIfAbsent(record)
  const backup = store.texts.get(record.name) ?? ''
  await encrypted.revoke(record.kid, 5)
  await encrypted.remove(record.name)
  t.strictSame(await encrypted.list(), [])
  store.texts.set(record.name, backup)
  t.match(await encrypted.list(), [{ kid: record.kid, revokedAtMs: 5 }])
})

t.test('the public facts of keys are listed without a secret', async (t) => {
  const store = new MemoryKeyStore()
  const encrypted = new EncryptedKeyStore(store, [newer])
  const record = await newRecord()
  await encrypted.insertIfAbsent(record)
  await encrypted.revoke(record.kid, 5)
  const { privateJwk, ...info } = record
  t.strictSame(await listKeyInfos(store), [{ ...info, revokedAtMs: 5 }])
})

t.test('a record that is not a key is refused by name', { skip: lacksPermissions }, async (t) => {
  const encrypted = new EncryptedKeyStore(new FileKeyStore(createTestFolder(t)), [newer])
  const store = new MemoryKeyStore()
  await store.insertIfAbsent({ name: 'package', text: '{}' })
  await t.rejects(new EncryptedKeyStore(store, [newer]).list(), {
    code: 'key_store_invalid',
    detail: /"package"/,
  })
  t.strictSame(await encrypted.list(), [])
})

const record = await newRecord()
const other = await newRecord()

/** The stored record, with members of its JSON changed. */
function changed(stored: StoredKey, changes: Record<string, unknown>): StoredKey {
  const content = { ...JSON.parse(stored.text), ...changes }
  return { name: content.name, text: JSON.stringify(content) }
}

const encryptedKeyOf = ({ text }: StoredKey): string => JSON.parse(text).encryptedKey

/** Yields the JWE with each byte of each part changed in turn. */
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

t.test('a key of every algorithm is the same after encryption and decryption', async (t) => {
  for (const alg of algorithmNames) {
    const record = await newRecord({ alg })
    const stored = await encrypt(record, [newer])
    t.strictSame(await decrypt(stored, [newer]), { ...record, isCurrent: true }, alg)
    t.notMatch(stored.text, 'privateJwk')
    for (const [member, value] of Object.entries(record.privateJwk)) {
      if (['kty', 'crv', 'alg', 'e'].includes(member)) continue
      t.notOk(stored.text.includes(String(value)), `${alg} ${member}`)
    }
  }
})

t.test('a record has an encrypted JWK, with a new ciphertext each time', async (t) => {
  const [a, b] = [await encrypt(record, [newer]), await encrypt(record, [newer])]
  t.not(encryptedKeyOf(a), encryptedKeyOf(b))
  const [header = '', key] = encryptedKeyOf(a).split('.')
  t.equal(key, '')
  t.strictSame(JSON.parse(Buffer.from(header, 'base64url').toString()), {
    alg: 'dir',
    enc: 'A256GCM',
    cty: 'jwk+json',
  })
})

t.test('a ciphertext with any byte changed is refused', async (t) => {
  const stored = await encrypt(record, [newer])
  let count = 0
  for (const encryptedKey of tampered(encryptedKeyOf(stored))) {
    count++
    await decrypt(changed(stored, { encryptedKey }), [newer]).then(
      () => t.fail(`it opened with change ${count}`),
      (error) => error.code === 'key_store_invalid' || t.fail(error),
    )
  }
  t.ok(count > 200, `${count} changes`)
})

t.test('a ciphertext in another record, or with other public facts, is refused', async (t) => {
  const stored = await encrypt(record, [newer])
  const moves: StoredKey[] = [
    changed(await encrypt(other, [newer]), { encryptedKey: encryptedKeyOf(stored) }),
    changed(stored, { name: 'epoch-2-Ed25519' }),
    changed(stored, { kid: other.kid }),
    changed(stored, { alg: 'ES256' }),
    changed(stored, { createdAtMs: record.createdAtMs + 1 }),
    changed(stored, { activateAtMs: record.activateAtMs + 1 }),
    changed(stored, { encryptedKey: '' }),
    changed(stored, { encryptedKey: 'a.b.c.d.e' }),
  ]
  for (const moved of moves) {
    await t.rejects(decrypt(moved, [newer]), {
      code: 'key_store_invalid',
      detail: `"${moved.name}"`,
    })
  }
})

t.test('a JWE of another algorithm is refused', async (t) => {
  const plain = Buffer.from(JSON.stringify(record.privateJwk))
  const stored = await encrypt(record, [newer])
  for (const header of [
    { alg: 'A256KW', enc: 'A256GCM' },
    { alg: 'A256GCMKW', enc: 'A256GCM' },
    { alg: 'PBES2-HS256+A128KW', enc: 'A256GCM' },
  ]) {
    const encryptedKey = await new CompactEncrypt(plain)
      .setProtectedHeader(header)
      .encrypt(Buffer.from(newer))
    await t.rejects(decrypt(changed(stored, { encryptedKey }), [newer]), {
      code: 'key_store_invalid',
    })
  }
})

t.test('a wrong secret decrypts nothing, and the error quotes no secret', async (t) => {
  const stored = await encrypt(record, [older])
  for (const secrets of [[newer], [`${older}x`]] as const) {
    const error = await decrypt(stored, secrets).catch((error: Error) => error)
    t.match(error, { code: 'key_store_invalid', detail: /"epoch-1-Ed25519".*no secret/ })
    const text = `${(error as Error).stack} ${(error as Error).cause}`
    for (const hidden of [older, newer, encryptedKeyOf(stored)]) t.notOk(text.includes(hidden))
  }
})

t.test('a secret is replaced in three steps: old, both, new', async (t) => {
  const isCurrent = async (secrets: KeySecrets, stored: StoredKey) =>
    (await decrypt(stored, secrets)).isCurrent
  const byOld = await encrypt(record, [older])
  t.equal(await isCurrent([older], byOld), true)
  t.equal(await isCurrent([older, newer], byOld), true, 'a replica may know the new secret first')
  t.equal(await isCurrent([newer, older], byOld), false, 'it must be re-encrypted')
  const byNew = await encrypt(record, [newer, older])
  t.equal(await isCurrent([older, newer], byNew), false)
  t.equal(await isCurrent([newer], byNew), true)
})

t.test('write access to the store alone adds no key', async (t) => {
  const stored = await encrypt(record, [newer])
  const { encryptedKey, ...info } = JSON.parse(stored.text)
  const byThief = await encrypt(record, ['a secret of a thief'.padEnd(32, '.')])
  const injected = [
    JSON.stringify({ ...info, privateJwk: record.privateJwk }),
    JSON.stringify({ ...info, encryptedKey, privateJwk: record.privateJwk }),
    byThief.text,
  ]
  for (const text of injected) {
    await t.rejects(decrypt({ name: record.name, text }, [newer]), { code: 'key_store_invalid' })
  }
})

t.test('a record whose key does not match its kid or algorithm is refused', async (t) => {
  const lies: Partial<KeyRecord>[] = [
    { kid: other.kid },
    { privateJwk: other.privateJwk },
    { alg: 'ES256' },
  ]
  for (const lie of lies) {
    const stored = await encrypt({ ...record, ...lie }, [newer])
    await t.rejects(decrypt(stored, [newer]), {
      code: 'key_store_invalid',
      detail: /"epoch-1-Ed25519"/,
    })
  }
})
