import t from 'tap'
import { operations } from '../../../examples/user-base/operations.ts'
import { account } from '../../support/accounts.ts'
import { accountStoreContract } from '../account-store-contract.ts'
import { openStore, signed, startUserBase, TestUserBase } from './support.ts'

// On the sample server, which must keep the contract too.
accountStoreContract(t, async () => {
  const { url } = await startUserBase(t)
  return openStore(t, url)
})

/** An account as a user base sends it. */
const ada = {
  sub: 'user-1',
  login_name: 'ada',
  password_hash: '$2b$10$hash',
  attributes: {},
  disabled: false,
  created_at_ms: 0,
  updated_at_ms: 0,
}

t.test('an operation that the user base does not offer is named', async (t) => {
  const { ping, 'accounts.find': find } = operations
  const { url, users } = await startUserBase(t, {
    operations: { ping, 'accounts.find': find } as typeof operations,
  })
  users.add(ada)
  const store = openStore(t, url)
  const unsupported = { code: 'operation_unsupported', status: 501 }
  await t.rejects(store.list({ limit: 1 }), { ...unsupported, message: /accounts\.list/ })
  await t.rejects(store.create([account()]), unsupported)
  await t.rejects(store.setDisabled('user-1', true, 1), unsupported)
  await t.rejects(store.setPasswordHash('user-1', 'new', 1), unsupported)
  t.equal(await store.setPasswordHash('user-1', 'new', 1, ada.password_hash), false, 'at a login')
  t.match(await store.findByLoginName('ada'), { sub: 'user-1' }, 'and the rest goes on')
})

t.test('a list is read to its end, in pages that fit into a response', async (t) => {
  const { url } = await startUserBase(t)
  const store = openStore(t, url)
  const attributes = { text: 'x'.repeat(20_000) }
  const names = Array.from({ length: 10 }, (_, n) => `user-${n}`)
  await store.create(names.map((loginName) => account({ loginName, attributes })))
  const seen: string[] = []
  for (let page = await store.list({ limit: 500 }); page.length > 0; ) {
    seen.push(...page.map(({ loginName }) => loginName))
    page = await store.list({ after: seen.at(-1) ?? '', limit: 500 })
  }
  t.strictSame(seen, names)
})

t.test('an account that violates the contract is refused', async (t) => {
  const userBase = await TestUserBase.start(t, signed({ account: ada }))
  const store = openStore(t, userBase.url)
  t.match(await store.findByLoginName('ada'), { sub: 'user-1' })
  const { disabled: _, ...withoutDisabled } = ada
  const wrong = {
    'another name': { account: { ...ada, login_name: 'Ada' } },
    'no account at all': {},
    'a field too many': { account: { ...ada, admin: true } },
    'a field missing': { account: withoutDisabled },
    'a sub that is no claim': { account: { ...ada, sub: 'ä' } },
    'a sub with a space': { account: { ...ada, sub: 'user 1' } },
    'a sub without end': { account: { ...ada, sub: 'x'.repeat(256) } },
    'an empty sub': { account: { ...ada, sub: '' } },
    'a hash that is none': { account: { ...ada, password_hash: '' } },
    'a hash without end': { account: { ...ada, password_hash: 'x'.repeat(513) } },
    'attributes that are a list': { account: { ...ada, attributes: [] } },
    'a flag that is a text': { account: { ...ada, disabled: 'false' } },
    'a time that is none': { account: { ...ada, created_at_ms: '2030' } },
  }
  for (const [what, answer] of Object.entries(wrong)) {
    userBase.answer = signed(answer)
    await t.rejects(store.findByLoginName('ada'), { code: 'store_unavailable' }, what)
  }
  userBase.answer = signed({ account: { ...ada, sub: 'user-2' } })
  await t.rejects(store.findBySub('user-1'), { code: 'store_unavailable' }, 'another sub')
})

t.test('an endless list is refused', async (t) => {
  const [first, second] = [ada, { ...ada, sub: 'user-2', login_name: 'bob' }]
  const userBase = await TestUserBase.start(t, signed({ accounts: [first, second] }))
  const store = openStore(t, userBase.url)
  t.equal((await store.list({ limit: 2 })).length, 2)
  const refused = { code: 'store_unavailable', message: /not in order/ }
  await t.rejects(store.list({ limit: 2, after: 'ada' }), refused, 'it starts over')
  await t.rejects(store.list({ limit: 1 }), refused, 'it is longer than asked for')
  userBase.answer = signed({ accounts: [second, first] })
  await t.rejects(store.list({ limit: 2 }), refused, 'it is not in order')
})
