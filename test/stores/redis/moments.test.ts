import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisSessionStore } from '../../../src/stores/redis/sessions.ts'
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
