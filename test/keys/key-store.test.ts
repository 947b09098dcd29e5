import assert from 'node:assert/strict'
import { chmod, chown, link, readdir, readFile, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { StoredKey } from '../../src/keys/key-record.ts'
import { FileKeyStore } from '../../src/keys/key-store.ts'
import { lacksPermissions } from '../support/platform.ts'
import { createTestFolder } from '../support/test-folder.ts'

let made = 0

/** Returns a key with a new text, which the store does not read. */
function newKey(name: string): StoredKey {
  return { name, text: `{"number":${made++}}\n` }
}

t.test('only the owner can read a key and its folder', { skip: lacksPermissions }, async (t) => {
  const folder = join(createTestFolder(t), 'deep', 'keys')
  const store = new FileKeyStore(folder)
  t.strictSame(await store.list(), [], 'a missing folder has no keys')

  const key = newKey('epoch-1-Ed25519')
  t.equal(await store.insertIfAbsent(key), true)
  t.strictSame(await new FileKeyStore(folder).list(), [key])
  t.strictSame(await readdir(folder), ['epoch-1-Ed25519.json'], 'nothing else is left behind')
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  t.equal((await stat(join(folder, 'epoch-1-Ed25519.json'))).mode & 0o777, 0o600)
})

t.test(
  'a key that root writes belongs to the owner of the folder',
  { skip: process.getuid?.() !== 0 && 'only root may write for others' },
  async (t) => {
    const folder = createTestFolder(t)
    await chown(folder, 1000, 1001)
    const store = new FileKeyStore(folder)
    const owner = async () => {
      const { uid, gid, mode } = await stat(join(folder, 'a.json'))
      return { uid, gid, mode: mode & 0o777 }
    }
    await store.insertIfAbsent(newKey('a'))
    t.strictSame(await owner(), { uid: 1000, gid: 1001, mode: 0o600 })
    await store.replace(newKey('a'))
    t.strictSame(await owner(), { uid: 1000, gid: 1001, mode: 0o600 })
  },
)

t.test('of concurrent inserts of one name, one succeeds', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t)
  const keys = Array.from({ length: 8 }, () => newKey('epoch-1-Ed25519'))
  const stores = keys.map(() => new FileKeyStore(folder))
  const inserted = await Promise.all(
    keys.map((key, position) => stores[position]?.insertIfAbsent(key)),
  )
  t.equal(inserted.filter(Boolean).length, 1)
  t.strictSame(await stores[0]?.list(), [keys[inserted.indexOf(true)]])
  t.strictSame(await readdir(folder), ['epoch-1-Ed25519.json'])
})

t.test('a reader sees the old key or the new one', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t)
  const [writer, reader] = [new FileKeyStore(folder), new FileKeyStore(folder)]
  const before = newKey('a')
  const after = { name: 'a', text: 'x'.repeat(100_000) }
  await writer.insertIfAbsent(before)
  const writes = writer.replace(after)
  for (let look = 0; look < 20; look++) {
    const [seen] = await reader.list()
    t.ok(seen?.text === before.text || seen?.text === after.text)
  }
  await writes
  t.strictSame(await reader.list(), [after])
  t.strictSame(await readdir(folder), ['a.json'])
  t.equal((await stat(join(folder, 'a.json'))).mode & 0o777, 0o600)
})

t.test('removing a key twice is not an error', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t)
  const store = new FileKeyStore(folder)
  await store.insertIfAbsent(newKey('a'))
  await store.remove('a')
  await store.remove('a')
  t.strictSame(await readdir(folder), [])
})

t.test('files that a killed process left are ignored', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t, {
    'README.md': '# keys',
    '.a.xyz.tmp': '{"half":',
    '.b.json': '{',
  })
  const store = new FileKeyStore(folder)
  const key = newKey('a')
  t.equal(await store.insertIfAbsent(key), true)
  // Killed between the link and the removal of the temporary name.
  await link(join(folder, 'a.json'), join(folder, '.a.abc.tmp'))
  // Another replica deletes the file of a removed key while this one reads the folder.
  await symlink(join(folder, 'deleted'), join(folder, 'c.json'))
  t.strictSame(await store.list(), [key])
})

t.test('a file that others may read is refused', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t)
  const store = new FileKeyStore(folder)
  await store.insertIfAbsent(newKey('a'))
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

t.test('a folder that anybody may write to is refused', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t)
  const store = new FileKeyStore(folder)
  await store.insertIfAbsent(newKey('a'))
  for (const mode of [0o777, 0o1777, 0o702]) {
    await chmod(folder, mode)
    await t.rejects(store.list(), { code: 'key_store_invalid', detail: /Anybody may write to / })
  }
  await chmod(folder, 0o755)
  t.equal((await store.list()).length, 1)
})

t.test(
  'reading a folder makes it read-only for its group',
  { skip: lacksPermissions },
  async (t) => {
    const folder = createTestFolder(t)
    await chmod(folder, 0o775)
    t.strictSame(await new FileKeyStore(folder).list(), [])
    t.equal((await stat(folder)).mode & 0o777, 0o755)
  },
)

t.test('a name that is not a file name is refused', { skip: lacksPermissions }, async (t) => {
  const store = new FileKeyStore(createTestFolder(t))
  for (const name of ['../a', 'a/b', '', '.a']) {
    await t.rejects(store.insertIfAbsent(newKey(name)), { code: 'key_store_invalid' })
    await t.rejects(store.remove(name), { code: 'key_store_invalid' })
  }
})

t.test('a folder that cannot be used is unavailable', { skip: lacksPermissions }, async (t) => {
  const path = join(createTestFolder(t, { file: 'x' }), 'file')
  const store = new FileKeyStore(path)
  await t.rejects(store.list(), { code: 'store_unavailable' })
  await t.rejects(store.insertIfAbsent(newKey('a')), { code: 'store_unavailable' })
  t.equal(await readFile(path, 'utf8'), 'x')

  const good = new FileKeyStore(createTestFolder(t))
  t.same(await good.list(), [])
  await good.close()
})

t.test('a failure that repeats has the same message', { skip: lacksPermissions }, async (t) => {
  const folder = createTestFolder(t, { 'a.json': { file: '' } })
  const store = new FileKeyStore(folder)
  const messages = []
  for (let time = 0; time < 2; time += 1) {
    const error: Error = await store.replace(newKey('a')).then(
      () => assert.fail(),
      (error) => error,
    )
    t.match(error, { code: 'store_unavailable', cause: Error })
    messages.push([error.message, (error.cause as Error).message])
  }
  t.same(messages[1], messages[0])
})
