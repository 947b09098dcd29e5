import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { startRedis, until } from '../../support/redis.ts'
import { session, t0 } from '../../support/sessions.ts'

/** What passes by itself in a moment is no failure. */

t.test('an answer that is there is taken, though we were away past the deadline', async (t) => {
  const server = await startRedis(t)
  const deadlineMs = 3_000
  const store = await RedisSessionStore.open(server.url, { deadlineMs })
  t.teardown(() => store.close())
  const one = session({ sid: randomId() })
  await store.create(one)
  server.freeze()
  const found = store.find(one.sid, t0)
  // The command is written.
  for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
  const untilMs = performance.now() + 1.5 * deadlineMs
  server.thaw()
  // Redis answers connections in their order: once it answers another one, our answer is here.
  execFileSync('redis-cli', ['-p', String(server.port), 'PING'])
  while (performance.now() < untilMs);
  t.match(await found, { sid: one.sid })
})

t.test('to connect may take longer than a call, as it does on a busy machine', async (t) => {
  const redis = await startRedis(t)
  const slow = createServer((client) => {
    const server = connect(redis.port, '127.0.0.1')
    for (const socket of [client, server]) socket.on('error', () => {})
    client.once('close', () => server.destroy())
    setTimeout(() => client.pipe(server).pipe(client), 300)
  }).listen(0, '127.0.0.1')
  await once(slow, 'listening')
  t.teardown(() => slow.close())
  const { port } = slow.address() as AddressInfo
  const options = { deadlineMs: 200, openMs: 60_000 }
  const store = await RedisSessionStore.open(`redis://127.0.0.1:${port}`, options)
  t.teardown(() => store.close())
  await until(() => store.ping().then(() => true))
})

t.test('a primary that has no replica yet is asked again', async (t) => {
  const server = await startRedis(t)
  const open = async (deadlineMs: number) => {
    const store = await RedisSessionStore.open(server.url, { deadlineMs })
    t.teardown(() => store.close())
    return store
  }
  const [hasty, store] = [await open(500), await open(60_000)]
  const demand = (count: string) => server.ask('CONFIG', 'SET', 'min-replicas-to-write', count)
  await demand('1')
  await t.rejects(hasty.create(session({ sid: randomId() })), { code: 'store_unavailable' })
  const one = session({ sid: randomId() })
  const created = store.create(one)
  created.catch(() => {})
  await sleep(50)
  await demand('0')
  await created
  t.match(await store.find(one.sid, t0), { sid: one.sid })
})
