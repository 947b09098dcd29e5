import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { RedisDataStore } from '../../../src/stores/redis/data-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { startCluster, startRedis, startSentinels } from '../../support/redis.ts'
import { t0 } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'
import { dataStoreContract, fieldsOf, newOwner, write } from '../data-store-contract.ts'
import { TcpProxy } from '../tcp-proxy.ts'

function contract(t: Test, url: string, replicas = 0): void {
  dataStoreContract(t, () => RedisDataStore.open(url, { ...patient, replicas }))
}

t.test('one server', async (t) => contract(t, (await startRedis(t)).url))
t.test('a Cluster', async (t) => contract(t, (await startCluster(t)).url))
t.test('Sentinel, with a replica confirming', async (t) => {
  contract(t, (await startSentinels(t)).url, 1)
})

t.test('data expires, and a write or a touch postpones that', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisDataStore.open(server.url, patient))
  const one = write({ owner: newOwner(), expiresAtMs: Date.now() + 60_000 })
  await store.write(one)
  const [key = ''] = (await server.ask('KEYS', '*')) as string[]
  const expiry = async () => Number(await server.ask('PEXPIRETIME', key))
  t.equal(await expiry(), one.expiresAtMs)
  await store.touch(one.owner, one.expiresAtMs - 1000)
  t.equal(await expiry(), one.expiresAtMs, 'never brought forward')
  await store.touch(one.owner, one.expiresAtMs + 1000)
  t.equal(await expiry(), one.expiresAtMs + 1000)
  await server.ask('PEXPIRE', key, '1')
  await until('it expires', async () => (await store.read(one.owner, 'all', t0)).size === 0)
  await store.touch(one.owner, one.expiresAtMs)
  t.equal(await server.ask('EXISTS', key), 0)
  await store.end(one.owner, one.expiresAtMs, Date.now())
  await store.touch(one.owner, one.expiresAtMs + 1000)
  t.equal(await expiry(), one.expiresAtMs, 'a mark of an ended owner does not stay longer')
})

t.test('a repeated write succeeds', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisDataStore.open(server.url, patient))
  const one = write({ owner: newOwner(), expected: null })
  t.same([await store.write(one), await store.write(one)], ['written', 'written'])
  t.same(await store.read(one.owner, 'all', t0), fieldsOf(one))
})

t.test(
  'a repeated write is no conflict after its first response was lost and another write followed',
  async (t) => {
    const server = await startRedis(t)
    const proxy = await TcpProxy.start(t, server.port)
    const [store, other] = [
      await RedisDataStore.open(proxy.through(server.url), patient),
      await RedisDataStore.open(server.url, patient),
    ]
    t.teardown(() => Promise.all([store.close(), other.close()]))
    const owner = newOwner()
    const first = write({ owner, expected: null })
    const [second, third] = [write({ owner, expected: first.version }), write({ owner })]
    await store.write(first)
    proxy.loseNextResponse(() => other.write({ ...third, expected: second.version }))
    // After a conflict the caller would repeat its change.
    await t.rejects(store.write(second), { code: 'store_unavailable' })
    t.same(await other.read(owner, 'all', t0), fieldsOf(third))
    t.equal(await store.write(write({ owner, expected: second.version })), 'conflict')
  },
)

t.test('a read is one round trip', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisDataStore.open(server.url, patient))
  const owner = newOwner()
  await store.write(write({ owner }))
  const calls = async () => {
    const stats = String(await server.ask('INFO', 'stats'))
    return Number(/total_commands_processed:(\d+)/.exec(stats)?.[1])
  }
  for (const fields of [['cart'], ['cart', 'theme', 'step'], 'all'] as const) {
    const before = await calls()
    await store.read(owner, fields, t0)
    t.equal((await calls()) - before, 2, 'the read, and the question for the count')
  }
})

t.test('concurrent writes are one script, and reads need none', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisDataStore.open(server.url, patient))
  const writes = Array.from({ length: 20 }, () => write({ owner: newOwner() }))
  const scripts = async () => {
    const stats = String(await server.ask('INFO', 'commandstats'))
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  const writeAll = () => Promise.all(writes.map((one) => store.write(one)))
  const readAll = () => Promise.all(writes.map(({ owner }) => store.read(owner, ['cart'], t0)))
  await writeAll()
  await readAll()
  const before = await scripts()
  t.same(await writeAll(), Array(20).fill('written'))
  t.same(
    await readAll(),
    writes.map((one) => fieldsOf(one)),
  )
  t.equal((await scripts()) - before, 1)
})

t.test('a key of another type does not affect other owners', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisDataStore.open(server.url, patient))
  const [good, bad] = [write({ owner: newOwner() }), write({ owner: newOwner() })]
  await server.ask('SET', `gp:d:${bad.owner.scope}:${bad.owner.id}`, 'text')
  const wrong = { code: 'store_unavailable', cause: { message: /WRONGTYPE/ } }
  const [refused, written] = [store.write(bad), store.write(good)]
  await t.rejects(refused, wrong)
  t.equal(await written, 'written')
  const cartOf = ({ owner }: typeof good) => store.read(owner, ['cart'], t0)
  const [unread, read] = [cartOf(bad), cartOf(good)]
  await t.rejects(unread, wrong)
  t.same(await read, fieldsOf(good))
})

t.test('a change that no replica confirms fails', async (t) => {
  const { url } = await startRedis(t)
  const store = closedWith(t, await RedisDataStore.open(url, { replicas: 1 }))
  await t.rejects(store.write(write({ owner: newOwner() })), { code: 'store_unavailable' })
})

t.test('a client that closes while it reconnects leaves no connection', async (t) => {
  const server = await startRedis(t)
  const store = await RedisDataStore.open(server.url, { replicas: 1 })
  // The deadline passes, so the client connects anew.
  await t.rejects(store.write(write({ owner: newOwner() })), { code: 'store_unavailable' })
  await store.close()
  await until(
    'no connection is left',
    async () => !String(await server.ask('CLIENT', 'LIST')).includes('name=gatepass'),
  )
})

t.test('each confirmation follows its change, also one that is sent again', async (t) => {
  const { url, primary } = await startSentinels(t)
  const store = closedWith(t, await RedisDataStore.open(url, { ...patient, replicas: 1 }))
  const commands: string[] = []
  const monitor = connect(primary.port, '127.0.0.1')
  t.teardown(() => monitor.destroy())
  const lines = createInterface(monitor)
  monitor.write('MONITOR\r\n')
  await once(lines, 'line')
  lines.on('line', (line) => {
    const name = /\] "(EVALSHA|EVAL|WAIT)"/.exec(line)?.[1]
    if (name !== undefined) commands.push(name)
  })
  const writeOne = () => store.write(write({ owner: newOwner() }))
  t.equal(await writeOne(), 'written')
  await until('it waits', () => commands.at(-1) === 'WAIT')
  await primary.ask('SCRIPT', 'FLUSH')
  commands.length = 0
  t.equal(await writeOne(), 'written', 'the primary does not know the script')
  t.equal(await writeOne(), 'written')
  const expected = ['EVALSHA', 'WAIT', 'EVAL', 'WAIT', 'EVALSHA', 'WAIT']
  await until('all are sent', () => commands.length >= expected.length)
  t.same(commands, expected)
})
