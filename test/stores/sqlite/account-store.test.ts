import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteAccountStore } from '../../../src/stores/sqlite/account-store.ts'
import { account, someHash } from '../../support/accounts.ts'
import { closedWith } from '../../support/closed-with.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { accountStoreContract } from '../account-store-contract.ts'

const folder = createTestFolder(t)
let opened = 0
accountStoreContract(t, async () => {
  opened += 1
  return new SqliteAccountStore(join(folder, `${opened}.db`))
})

t.test('accounts are there when the store opens again', async (t) => {
  const path = join(createTestFolder(t), 'accounts.db')
  const alice = account()
  const first = new SqliteAccountStore(path)
  await first.create([alice])
  await first.close()
  const second = closedWith(t, new SqliteAccountStore(path))
  t.strictSame(await second.findByLoginName('alice'), alice)
})

t.test('two processes share the login names', async (t) => {
  const path = join(createTestFolder(t), 'accounts.db')
  const [one, other] = [new SqliteAccountStore(path), new SqliteAccountStore(path)]
  t.teardown(() => Promise.all([one.close(), other.close()]))
  const alice = account()
  await one.create([alice])
  t.strictSame(await other.findBySub(alice.sub), alice)
  t.strictSame(await other.create([account()]), ['alice'])
})

t.test('a replaced password hash leaves the file', async (t) => {
  const path = join(createTestFolder(t), 'accounts.db')
  const store = new SqliteAccountStore(path)
  const names = ['alice', 'bob', 'carol']
  await store.create(
    names.map((name) =>
      account({ sub: name, loginName: name, passwordHash: `${someHash}${name}` }),
    ),
  )
  await store.setPasswordHash('bob', `$argon2id$${'x'.repeat(90)}`, 2)
  await store.close()
  const bytes = readFileSync(path)
  t.strictSame(
    names.filter((name) => bytes.includes(`${someHash}${name}`)),
    ['alice', 'carol'],
  )
})
