import type { Test } from 'tap'
import type { Account, AccountStore } from '../../src/stores/ports.ts'
import { account } from '../support/accounts.ts'
import { testsWithStore } from './with-store.ts'

/** Tests the promises of an AccountStore on a real store. `open` returns an empty store. */
export function accountStoreContract(t: Test, open: () => Promise<AccountStore>): void {
  const withStore = testsWithStore(t, open)

  withStore('an account is found by its login name and by its sub', async (t, store) => {
    const alice = account({
      attributes: {
        email: 'Älice "A" <alice@example.com>',
        roles: ['admin', 'a\u0000b', '😀'],
        nested: { deep: [null, true, 1.5, -0.25, { '': [] }], 'half a pair': '\ud83d' },
      },
      disabled: true,
      updatedAtMs: Date.UTC(2999, 11, 31) + 1,
    })
    await store.create([alice])
    t.strictSame(await store.findByLoginName('alice'), alice)
    t.strictSame(await store.findBySub(alice.sub), alice)
  })

  withStore('an unknown account is not found', async (t, store) => {
    await store.create([account()])
    for (const name of ['bob', '', 'Alice', 'alice ', 'alic', "' OR ''='", '%', 'a\u0000lice']) {
      t.equal(await store.findByLoginName(name), null, name)
      t.equal(await store.findBySub(name), null, name)
    }
  })

  withStore('an attribute may have any name', async (t, store) => {
    const attributes = JSON.parse('{"__proto__": {"admin": true}, "constructor": 1}')
    await store.create([account({ attributes })])
    const found = await store.findByLoginName('alice')
    t.equal(JSON.stringify(found?.attributes), JSON.stringify(attributes))
  })

  withStore('a taken login name is refused, and the first account stays', async (t, store) => {
    const first = account()
    await store.create([first])
    t.strictSame(await store.create([account()]), ['alice'])
    t.strictSame(await store.findByLoginName('alice'), first)
    t.equal((await store.list({ limit: 10 })).length, 1)
  })

  withStore('a taken sub is refused', async (t, store) => {
    const first = account()
    await store.create([first])
    t.strictSame(await store.create([account({ sub: first.sub, loginName: 'bob' })]), ['bob'])
    t.equal(await store.findByLoginName('bob'), null)
  })

  withStore('of many concurrent accounts with one login name, one is created', async (t, store) => {
    const rivals = Array.from({ length: 20 }, () => account())
    const others = Array.from({ length: 20 }, (_, n) => account({ loginName: `user-${n}` }))
    const taken = await Promise.all(
      rivals.flatMap((rival, n) => [store.create([rival]), store.create([others[n] ?? account()])]),
    )
    t.strictSame(taken.flat(), Array(19).fill('alice'))
    t.equal((await store.list({ limit: 100 })).length, 21, 'the refused hurt nobody else')
  })

  withStore('create returns the taken login names', async (t, store) => {
    await store.create([account({ loginName: 'b' })])
    const [a, c] = [account({ loginName: 'a' }), account({ loginName: 'c' })]
    const taken = await store.create([a, account({ loginName: 'b' }), c])
    t.strictSame(taken, ['b'])
    t.strictSame(await names(store), ['a', 'b', 'c'])
    t.strictSame(await store.findByLoginName('c'), c)
    t.strictSame(await store.create([]), [])
  })

  withStore('of two equal accounts in one call, the first is created', async (t, store) => {
    const first = account({ loginName: 'a' })
    const sameSub = account({ loginName: 'b', sub: first.sub })
    const taken = await store.create([first, account({ loginName: 'a' }), sameSub])
    t.strictSame(taken, ['a', 'b'])
    t.strictSame(await store.list({ limit: 10 }), [first])
  })

  withStore('a password hash is replaced', async (t, store) => {
    const alice = account()
    await store.create([alice])
    t.equal(await store.setPasswordHash(alice.sub, 'second', 5), true)
    const changed: Account = { ...alice, passwordHash: 'second', updatedAtMs: 5 }
    t.strictSame(await store.findBySub(alice.sub), changed)
    t.equal(await store.setPasswordHash('nobody', 'second', 5), false)
  })

  withStore('a password hash is replaced only if it is the expected one', async (t, store) => {
    const alice = account()
    await store.create([alice])
    t.equal(await store.setPasswordHash(alice.sub, 'second', 5, alice.passwordHash), true)
    t.equal(await store.setPasswordHash(alice.sub, 'third', 6, alice.passwordHash), false)
    t.match(await store.findBySub(alice.sub), { passwordHash: 'second', updatedAtMs: 5 })
  })

  withStore(
    'of many concurrent replacements that expect one hash, one succeeds',
    async (t, store) => {
      const alice = account()
      await store.create([alice])
      const replaced = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          store.setPasswordHash(alice.sub, `hash ${n}`, n, alice.passwordHash),
        ),
      )
      t.equal(replaced.filter(Boolean).length, 1)
      const winner = replaced.indexOf(true)
      t.match(await store.findBySub(alice.sub), { passwordHash: `hash ${winner}` })
    },
  )

  withStore('an account is disabled and enabled', async (t, store) => {
    const alice = account()
    await store.create([alice])
    t.equal(await store.setDisabled(alice.sub, true, 5), true)
    t.strictSame(await store.findBySub(alice.sub), { ...alice, disabled: true, updatedAtMs: 5 })
    t.equal(await store.setDisabled(alice.sub, false, 6), true)
    t.strictSame(await store.findBySub(alice.sub), { ...alice, disabled: false, updatedAtMs: 6 })
    t.equal(await store.setDisabled('nobody', true, 7), false)
  })

  withStore('accounts are listed in pages, by login name', async (t, store) => {
    const created = ['b', 'a.a', 'a', 'ä', 'a-b', '10', '9', 'z', '山田', '😀']
    await store.create(created.map((loginName) => account({ loginName })))
    // By their bytes, whatever the collation of the database.
    const ordered = ['10', '9', 'a', 'a-b', 'a.a', 'b', 'z', 'ä', '山田', '😀']
    t.strictSame(await names(store), ordered)
    const seen: string[] = []
    for (let page = await store.list({ limit: 3 }); page.length > 0; ) {
      t.ok(page.length <= 3)
      seen.push(...page.map(({ loginName }) => loginName))
      page = await store.list({ after: seen.at(-1) ?? '', limit: 3 })
    }
    t.strictSame(seen, ordered)
    t.strictSame(await store.list({ after: '😀', limit: 3 }), [])
    const after = await store.list({ after: 'c', limit: 1 })
    t.equal(after[0]?.loginName, 'z', 'the name it starts after need not exist')
  })

  t.test('ping succeeds until the store is closed', async (t) => {
    const store = await open()
    await store.ping()
    await store.close()
    await store.close()
    const gone = { code: 'store_unavailable', status: 503 }
    await t.rejects(store.ping(), gone)
    await t.rejects(store.findByLoginName('alice'), gone)
    await t.rejects(store.create([account()]), gone)
  })
}

async function names(store: AccountStore): Promise<string[]> {
  return (await store.list({ limit: 100 })).map(({ loginName }) => loginName)
}
