import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { FileKeyStore } from '../../src/keys/file-store.ts'
import { KeyVault } from '../../src/keys/vault.ts'
import { MemoryKeyStore, newRecord } from './support.ts'

const [older, newer] = ['older-secret'.padEnd(32, '.'), 'newer-secret'.padEnd(32, '.')] as const

/** One look at the store, as a ring does it. */
async function look(vault: KeyVault) {
  const keys = await vault.list()
  await vault.sealAnew(keys)
  return keys.map(({ name, isCurrent, revokedAtMs }) => ({ name, isCurrent, revokedAtMs }))
}

t.test('keys in the clear are encrypted at the next look, in place', async (t) => {
  const folder = t.testdir()
  const store = new FileKeyStore(folder)
  const record = await newRecord()
  await new KeyVault(store, []).insertIfAbsent(record)
  const text = () => readFile(join(folder, `${record.name}.json`), 'utf8')
  const secret = String(record.privateJwk.d)
  t.match(await text(), secret)

  const vault = new KeyVault(store, [newer])
  t.match(await look(vault), [{ isCurrent: false }])
  t.notOk((await text()).includes(secret))
  t.match(await look(vault), [{ isCurrent: true }])
  t.match(await vault.list(), [record])
  t.strictSame(await readdir(folder), [`${record.name}.json`])
})

t.test('keys under an older secret are encrypted under the first one', async (t) => {
  const store = new MemoryKeyStore()
  const record = await newRecord()
  await new KeyVault(store, [older]).insertIfAbsent(record)
  t.match(await look(new KeyVault(store, [older, newer])), [{ isCurrent: true }])
  t.match(await look(new KeyVault(store, [newer, older])), [{ isCurrent: false }])
  t.match(await new KeyVault(store, [newer]).list(), [record])
  await t.rejects(new KeyVault(store, [older]).list(), { code: 'key_store_invalid' })
})

t.test('what is as it should be is not written', async (t) => {
  const store = new MemoryKeyStore()
  const vault = new KeyVault(store, [newer])
  await vault.insertIfAbsent(await newRecord())
  const before = new Map(store.texts)
  await look(vault)
  t.strictSame(store.texts, before)
})

t.test('what is stored as it was is not opened again', async (t) => {
  const store = new MemoryKeyStore()
  const vault = new KeyVault(store, [newer, older])
  const record = await newRecord()
  const privateJwk = async () => (await vault.list())[0]?.privateJwk
  await new KeyVault(store, [older]).insertIfAbsent(record)
  const first = await privateJwk()
  t.equal(await privateJwk(), first)
  await look(vault)
  const anew = await privateJwk()
  t.not(anew, first, 'it was encrypted anew')
  t.strictSame(anew, first)

  store.texts.set('another-name', store.texts.get(record.name) ?? '')
  await t.rejects(vault.list(), { code: 'key_store_invalid' }, 'it is about another name')
  store.texts.delete('another-name')
  t.equal(await privateJwk(), anew)
  store.texts.clear()
  t.strictSame(await vault.list(), [])
})

t.test('the first revocation of a key counts, and sealing it anew keeps it', async (t) => {
  const store = new MemoryKeyStore()
  const record = await newRecord()
  const other = await newRecord({ name: 'epoch-2-Ed25519' })
  const old = new KeyVault(store, [older])
  for (const one of [record, other]) await old.insertIfAbsent(one)
  const [seenBefore] = await old.list()
  await old.revoke(record.kid, 5)
  await old.revoke(record.kid, 9)

  const vault = new KeyVault(store, [newer, older])
  // By a replica that looked before the revocation, and writes after it.
  await vault.sealAnew([{ ...record, isCurrent: false }])
  t.match(seenBefore, { revokedAtMs: null })
  t.match(await look(vault), [
    { name: record.name, revokedAtMs: 5 },
    { name: other.name, revokedAtMs: null },
  ])
})

t.test('a revoked key that is brought back is revoked still', async (t) => {
  const store = new MemoryKeyStore()
  const vault = new KeyVault(store, [newer])
  const record = await newRecord()
  await vault.insertIfAbsent(record)
  const backup = store.texts.get(record.name) ?? ''
  await vault.revoke(record.kid, 5)
  await vault.remove(record.name)
  t.strictSame(await vault.list(), [])
  store.texts.set(record.name, backup)
  t.match(await vault.list(), [{ kid: record.kid, revokedAtMs: 5 }])
})

t.test('what anyone may know of the keys takes no secret', async (t) => {
  const store = new MemoryKeyStore()
  const vault = new KeyVault(store, [newer])
  const record = await newRecord()
  await vault.insertIfAbsent(record)
  await vault.revoke(record.kid, 5)
  const { privateJwk, ...info } = record
  t.strictSame(await new KeyVault(store, []).infos(), [{ ...info, revokedAtMs: 5 }])
})

t.test('a record that is none is refused by name', async (t) => {
  const vault = new KeyVault(new FileKeyStore(t.testdir()), [])
  const store = new MemoryKeyStore()
  await store.insertIfAbsent({ name: 'package', text: '{}' })
  await t.rejects(new KeyVault(store, []).list(), {
    code: 'key_store_invalid',
    detail: /"package"/,
  })
  t.strictSame(await vault.list(), [])
})
