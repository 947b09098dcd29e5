import t from 'tap'
import { PostgresAccountStore } from '../../../src/stores/postgres/account-store.ts'
import { account } from '../../support/accounts.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { accountStoreContract } from '../account-store-contract.ts'

const server = await PostgresServer.start(t, { settings: { deadlock_timeout: '50ms' } })

accountStoreContract(t, async () =>
  PostgresAccountStore.open(await server.createDatabase(), patient),
)

t.test('replicas share the login names', async (t) => {
  const url = await server.createDatabase()
  const [one, other] = [
    await PostgresAccountStore.open(url, patient),
    await PostgresAccountStore.open(url, patient),
  ]
  t.teardown(() => Promise.all([one.close(), other.close()]))
  const alice = account()
  await one.create([alice])
  t.strictSame(await other.findBySub(alice.sub), alice)
  t.strictSame(await other.create([account()]), ['alice'])
})

t.test('concurrent imports in opposite order do not deadlock', async (t) => {
  const url = await server.createDatabase()
  const [one, other] = [
    await PostgresAccountStore.open(url, patient),
    await PostgresAccountStore.open(url, patient),
  ]
  t.teardown(() => Promise.all([one.close(), other.close()]))
  const names = Array.from({ length: 2_000 }, (_, n) => `user-${n}`)
  const accounts = (all: string[]) => all.map((loginName) => account({ loginName }))
  const taken = await Promise.all([
    one.create(accounts(names)),
    other.create(accounts(names.toReversed())),
  ])
  t.equal(taken.flat().length, names.length, 'each name was taken from one of them')
  t.equal((await one.list({ limit: 5_000 })).length, names.length)
})

t.test('reads of one turn share a statement, and an unreadable account fails alone', async (t) => {
  const url = await server.createDatabase()
  const options = { ...patient, maxConnections: 1, maxWaiting: 0 }
  const store = closedWith(t, await PostgresAccountStore.open(url, options))
  const all = ['alice', 'bob', 'carol'].map((loginName) => account({ loginName }))
  await store.create(all)
  const update = "UPDATE gatepass.accounts SET attributes = '[]' WHERE login_name = 'bob'"
  await server.query(update, url)
  const subs = [...all.map(({ sub }) => sub), 'unknown', 'not\0storable']
  const reads = subs.map((sub) => store.findBySub(sub))
  t.match(await Promise.allSettled(reads), [
    { value: all[0] },
    { reason: { code: 'internal_error' } },
    { value: all[2] },
    { value: null },
    { value: null },
  ])
})
