import { chmod, link, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { FileKeyStore } from '../../src/keys/file-store.ts'
import { generateKey } from '../../src/keys/record.ts'
import type { KeyRecord } from '../../src/keys/store.ts'

async function newRecord(name: string): Promise<KeyRecord> {
  const key = await generateKey('Ed25519')
  return { ...key, name, alg: 'Ed25519', createdAtMs: 1, activateAtMs: 2 }
}

t.test('a key is kept for its owner alone, in a folder made on demand', async (t) => {
  const folder = join(t.testdir(), 'deep', 'keys')
  const store = new FileKeyStore(folder)
  t.strictSame(await store.list(), [], 'no folder holds no keys')

  const record = await newRecord('epoch-1-Ed25519')
  t.equal(await store.insertIfAbsent(record), true)
  t.strictSame(await new FileKeyStore(folder).list(), [record])
  t.strictSame(await readdir(folder), ['epoch-1-Ed25519.json'], 'nothing else is left behind')
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  t.equal((await stat(join(folder, 'epoch-1-Ed25519.json'))).mode & 0o777, 0o600)
})

t.test('of many who insert one name, one does', async (t) => {
  const folder = t.testdir()
  const records = await Promise.all(Array.from({ length: 8 }, () => newRecord('epoch-1-Ed25519')))
  const stores = records.map(() => new FileKeyStore(folder))
  const inserted = await Promise.all(
    records.map((record, position) => stores[position]?.insertIfAbsent(record)),
  )
  t.equal(inserted.filter(Boolean).length, 1)
  t.strictSame(await stores[0]?.list(), [records[inserted.indexOf(true)]])
  t.strictSame(await readdir(folder), ['epoch-1-Ed25519.json'])
})

t.test('removing is final, and no error when there is nothing', async (t) => {
  const folder = t.testdir()
  const store = new FileKeyStore(folder)
  await store.insertIfAbsent(await newRecord('a'))
  await store.remove('a')
  await store.remove('a')
  t.strictSame(await readdir(folder), [])
})

t.test('what a killed process left behind is harmless', async (t) => {
  const folder = t.testdir({ 'README.md': '# keys', '.a.xyz.tmp': '{"half":', '.b.json': '{' })
  const store = new FileKeyStore(folder)
  const record = await newRecord('a')
  t.equal(await store.insertIfAbsent(record), true)
  // Killed between the link and the removal of the temporary name.
  await link(join(folder, 'a.json'), join(folder, '.a.abc.tmp'))
  t.strictSame(await store.list(), [record])
})

t.test('a file that others may read is refused', async (t) => {
  const folder = t.testdir()
  const store = new FileKeyStore(folder)
  await store.insertIfAbsent(await newRecord('a'))
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    await chmod(join(folder, 'a.json'), mode)
    await t.rejects(store.list(), {
      code: 'key_store_invalid',
      detail: /a\.json is open to others/,
    })
  }
  await chmod(join(folder, 'a.json'), 0o400)
  t.equal((await store.list()).length, 1)
})

t.test('a file that is not a key is refused by name', async (t) => {
  const folder = t.testdir()
  const store = new FileKeyStore(folder)
  await writeFile(join(folder, 'package.json'), '{}', { mode: 0o600 })
  await t.rejects(store.list(), { code: 'key_store_invalid', detail: /package\.json/ })
  await rm(join(folder, 'package.json'))

  await store.insertIfAbsent(await newRecord('a'))
  await rename(join(folder, 'a.json'), join(folder, 'b.json'))
  await t.rejects(store.list(), { code: 'key_store_invalid', detail: /b\.json .* another name/ })
})

t.test('a name that is no file name is refused before anything is touched', async (t) => {
  const store = new FileKeyStore(t.testdir())
  const record = await newRecord('a')
  for (const name of ['../a', 'a/b', '', '.a']) {
    await t.rejects(store.insertIfAbsent({ ...record, name }), { code: 'key_store_invalid' })
    await t.rejects(store.remove(name), { code: 'key_store_invalid' })
  }
})

t.test('a folder that can not be used is said to be unavailable', async (t) => {
  const path = join(t.testdir({ file: 'x' }), 'file')
  const store = new FileKeyStore(path)
  await t.rejects(store.list(), { code: 'store_unavailable' })
  await t.rejects(store.ping(), { code: 'store_unavailable' })
  await t.rejects(store.insertIfAbsent(await newRecord('a')), { code: 'store_unavailable' })
  t.equal(await readFile(path, 'utf8'), 'x')

  const good = new FileKeyStore(t.testdir())
  await good.ping()
  await good.close()
})
