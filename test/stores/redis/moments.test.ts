import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { startRedis } from '../../support/redis.ts'
import { session, t0 } from '../../support/sessions.ts'

/** What passes by itself in a moment is no failure. */

const deadlineMs = 500

t.test('an answer that is there is taken, though we were away past the deadline', async (t) => {
  const server = await startRedis(t)
  const store = await RedisSessionStore.open(server.url, { deadlineMs })
  t.teardown(() => store.close())
  const one = session({ sid: randomId() })
  await store.create(one)
  // For some tenths of a second Redis does nothing else.
  const busy = server.ask('EVAL', 'for i = 1, 2e7 do end', '0')
  await sleep(30)
  const found = store.find(one.sid, t0)
  await sleep(5)
  // And then we do nothing else; in an immediate, so that timers come next.
  await new Promise(setImmediate)
  const untilMs = performance.now() + 1.5 * deadlineMs
  while (performance.now() < untilMs);
  t.match(await found, { sid: one.sid })
  await busy
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
  const options = { deadlineMs: 100, openMs: 1_000 }
  const store = await RedisSessionStore.open(`redis://127.0.0.1:${port}`, options)
  await store.ping()
  await store.close()
})

t.test('a primary that has no replica yet is asked again', async (t) => {
  const server = await startRedis(t)
  const store = await RedisSessionStore.open(server.url, { deadlineMs })
  t.teardown(() => store.close())
  const demand = (count: string) => server.ask('CONFIG', 'SET', 'min-replicas-to-write', count)
  await demand('1')
  await t.rejects(store.create(session({ sid: randomId() })), { code: 'store_unavailable' })
  const one = session({ sid: randomId() })
  const created = store.create(one)
  created.catch(() => {})
  await sleep(50)
  await demand('0')
  await created
  t.match(await store.find(one.sid, t0), { sid: one.sid })
})
