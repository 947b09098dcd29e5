import t from 'tap'
import { dataOwner } from '../../src/stores/data-store.ts'

t.test('an owner is identified by scope, issuer and id', async (t) => {
  const ids = [
    dataOwner('session', 'https://a.example', 'one'),
    dataOwner('session', 'https://a.example', 'two'),
    dataOwner('session', 'https://b.example', 'one'),
    dataOwner('session', 'https://a.exampleo', 'ne'),
  ].map(({ id }) => id)
  t.equal(new Set(ids).size, 4)
  t.same(dataOwner('user', 'https://a.example', 'one'), { scope: 'user', id: ids[0] })
})

t.test('every store accepts an owner of any id', async (t) => {
  for (const id of ['', 'a b', '\r\nflush_all\r\n', '{tag}', 'ä'.repeat(1_000)]) {
    t.match(dataOwner('user', 'https://a.example', id).id, /^[\w-]{32}$/)
  }
})
