import t, { type Test } from 'tap'
import type { StoredKey } from '../../src/keys/key-record.ts'
import { PostgresKeyStore } from '../../src/keys/postgres-key-store.ts'
import { closedWith } from '../support/closed-with.ts'
import { patient } from '../support/patience.ts'
import { PostgresServer } from '../support/postgres.ts'

const server = await PostgresServer.start(t)

/** Some replicas' stores in one new database. */
async function open(t: Test, replicas = 1) {
  const url = await server.createDatabase()
  const stores = await Promise.all(
    Array.from({ length: replicas }, () => PostgresKeyStore.open(url, patient)),
  )
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  const [store] = stores
  if (store === undefined) throw new Error('none was opened')
  return { url, store, stores }
}

const key = (name: string, text = `{"of":"${name}"}`): StoredKey => ({ name, text })

t.test('every replica reads the inserted keys unchanged', async (t) => {
  const { url, store } = await open(t)
  t.strictSame(await store.list(), [])
  const all = [key('epoch-1-ES256'), key('epoch-2-ES256', '"Ünï\\u0000"\n')]
  for (const one of all) t.equal(await store.insertIfAbsent(one), true)
  const other = closedWith(t, await PostgresKeyStore.open(url, patient))
  const listed = await other.list()
  t.strictSame(
    listed.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    all,
  )
})

t.test('of concurrent inserts of one name, one succeeds', async (t) => {
  const { stores } = await open(t, 8)
  const keys = stores.map((_, n) => key('epoch-1-ES256', `"${n}"`))
  const inserted = await Promise.all(keys.map((one, n) => stores[n]?.insertIfAbsent(one)))
  t.equal(inserted.filter(Boolean).length, 1)
  t.strictSame(await stores[0]?.list(), [keys[inserted.indexOf(true)]])
})

t.test('a key is replaced; a removed key does not reappear', async (t) => {
  const { store } = await open(t)
  await store.insertIfAbsent(key('a'))
  await store.insertIfAbsent(key('b'))
  await store.replace(key('a', '"new"'))
  await store.remove('b')
  await store.remove('b')
  await store.replace(key('b', '"new"'))
  t.strictSame(await store.list(), [key('a', '"new"')])
})

t.test('answers until it is closed', async (t) => {
  const { store } = await open(t)
  t.strictSame(await store.list(), [])
  await store.close()
  await store.close()
  await t.rejects(store.list(), { code: 'store_unavailable' })
})
