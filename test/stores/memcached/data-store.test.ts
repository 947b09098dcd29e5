import t, { type Test } from 'tap'
import { MemcachedDataStore } from '../../../src/stores/memcached/data-store.ts'
import { fieldKeyOf, locate } from '../../../src/stores/memcached/owner-items.ts'
import { closedWith } from '../../support/closed-with.ts'
import { type MemcachedServer, startMemcached, urlOf } from '../../support/memcached.ts'
import { patient } from '../../support/patience.ts'
import { t0 } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'
import { dataStoreContract, fieldsOf, later, newOwner, write } from '../data-store-contract.ts'

function contract(t: Test, url: string): void {
  dataStoreContract(t, () => MemcachedDataStore.open(url, patient))
}

t.test('one node', async (t) => contract(t, (await startMemcached(t)).url))

t.test('three nodes', async (t) => {
  const nodes = await Promise.all([1, 2, 3].map(() => startMemcached(t)))
  contract(t, urlOf(nodes.map(({ port }) => port)))
  t.test('all of them have data', async (t) => {
    for (const node of nodes) t.ok((await node.stat('curr_items')) > 0)
  })
})

async function started(t: Test, options: readonly string[] = []) {
  const server = await startMemcached(t, { options })
  const store = closedWith(t, await MemcachedDataStore.open(server.url, patient))
  return { server, store }
}

t.test('data expires, and a write or a touch postpones that', async (t) => {
  const { server, store } = await started(t)
  const owner = newOwner()
  const hourMs = 3_600_000
  const soonMs = Date.now() + hourMs
  const { indexKey } = locate(owner)
  const isNear = (actualMs: number, expectedMs: number) =>
    t.ok(Math.abs(actualMs - expectedMs) <= 30_000, `${actualMs} is near ${expectedMs}`)
  const one = write({ owner, field: 'a', expiresAtMs: soonMs })
  const other = write({ owner, field: 'b', expiresAtMs: soonMs + hourMs })
  await store.write(one)
  isNear(await expiryMs(server, indexKey), soonMs)
  await store.touch(owner, soonMs - 60_000)
  isNear(await expiryMs(server, indexKey), soonMs)
  await store.write(other)
  isNear(await expiryMs(server, indexKey), soonMs + hourMs)
  await store.touch(owner, soonMs + 9 * hourMs)
  isNear(await expiryMs(server, indexKey), soonMs + 9 * hourMs)
  t.same(await store.read(owner, 'all'), fieldsOf(one, other))
  for (const field of ['a', 'b']) {
    t.ok((await expiryMs(server, fieldKeyOf(indexKey, field))) > soonMs + 9 * hourMs)
  }
  await store.touch(newOwner(), soonMs)
  t.equal(await server.stat('curr_items'), 3)

  const short = write({ owner: newOwner(), expiresAtMs: Date.now() + 5_000 })
  t.equal(await store.write(short), 'written')
  await until('it has expired', async () => (await store.read(short.owner, 'all')).size === 0)
})

async function expiryMs(server: MemcachedServer, key: string): Promise<number> {
  const reply = await server.ask(`mg ${key} t`, '')
  return Date.now() + 1_000 * Number(/t(\d+)/.exec(reply)?.[1])
}

t.test('ended data is erased from memory', async (t) => {
  const { server, store } = await started(t)
  const secret = 'the value of a field'
  const value = Buffer.from(secret)
  for (const untilMs of [later, t0]) {
    const owner = newOwner()
    for (const field of ['a', 'b']) await store.write(write({ owner, field, value }))
    const keys = ['a', 'b'].map((field) => fieldKeyOf(locate(owner).indexKey, field))
    const values = async () =>
      (await Promise.all(keys.map((key) => server.ask(`get ${key}`)))).join()
    t.match(await values(), secret)
    await store.end(owner, untilMs, t0)
    t.notMatch(await values(), secret)
  }
})

t.test('a read of fields is one round trip, a write two', async (t) => {
  const { server, store } = await started(t)
  const owner = newOwner()
  await store.write(write({ owner }))
  const [gets, sets] = [await server.stat('cmd_get'), await server.stat('cmd_set')]
  await store.read(owner, ['cart'])
  t.equal((await server.stat('cmd_get')) - gets, 2)
  await store.write(write({ owner }))
  t.equal((await server.stat('cmd_get')) - gets, 5)
  t.equal((await server.stat('cmd_set')) - sets, 1)
})

t.test('a lost index is a miss of all fields, and later writes succeed', async (t) => {
  const { server, store } = await started(t)
  const owner = newOwner()
  const [one, other] = [write({ owner, field: 'a' }), write({ owner, field: 'b' })]
  await store.write(one)
  await store.write(other)
  await server.ask(`delete ${locate(owner).indexKey}`, 'DELETED')
  t.same(await store.read(owner, ['a', 'b']), new Map())
  t.equal(await store.write({ ...one, expected: one.version }), 'conflict')
  const next = write({ owner, field: 'a', expected: null })
  t.equal(await store.write(next), 'written')
  t.same(await store.read(owner, 'all'), fieldsOf(next), 'the other one is of an earlier life')
})

t.test('an item that is not an index is a miss, and is overwritten', async (t) => {
  const { server, store } = await started(t)
  const one = write({ owner: newOwner() })
  await server.ask(`set ${locate(one.owner).indexKey} 0 0 3\r\nabc`, 'STORED')
  t.same(await store.read(one.owner, 'all'), new Map())
  t.equal(await store.write(one), 'written')
  t.same(await store.read(one.owner, 'all'), fieldsOf(one))
})

t.test('a field that a full server evicts is a miss', async (t) => {
  const { server, store } = await started(t, ['-m', '2'])
  const value = Buffer.alloc(20_000, 1)
  const writes = Array.from({ length: 1_000 }, () => write({ owner: newOwner(), value }))
  for (const one of writes) t.equal(await store.write(one), 'written')
  t.ok((await server.stat('evictions')) > 0)
  let misses = 0
  for (const one of writes) {
    const found = await store.read(one.owner, 'all')
    if (found.size === 0) misses += 1
    else t.same(found, fieldsOf(one))
  }
  t.ok(misses > 0 && misses < writes.length, `${misses} misses`)
})

t.test('a value that is too large for the server is refused, and others are not', async (t) => {
  const { server, store } = await started(t)
  const [owner, small] = [newOwner(), write({ owner: newOwner() })]
  const before = await server.stat('total_connections')
  const writing = t.rejects(store.write(write({ owner, value: Buffer.alloc(2_000_000) })), {
    code: 'store_unavailable',
    retryAfterSeconds: 1,
    cause: { message: /too large/ },
  })
  t.equal(await store.write(small), 'written')
  await writing
  t.same(await store.read(owner, 'all'), new Map())
  t.same(await store.read(small.owner, 'all'), fieldsOf(small))
  t.equal((await server.stat('total_connections')) - before, 1, 'our own question')
})
