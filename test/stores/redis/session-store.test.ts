import t, { type Test } from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import type { Session } from '../../../src/stores/ports.ts'
import { createConnectionFactory } from '../../../src/stores/redis/connection.ts'
import { sessionKey } from '../../../src/stores/redis/session-row.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { parseRedisUrl } from '../../../src/stores/redis/url.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patienceMs, patient } from '../../support/patience.ts'
import { startCluster, startRedis, startSentinels } from '../../support/redis.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { sessionStoreContract } from '../session-store-contract.ts'
import { sessionWorld } from '../session-world.ts'

/**
 * Tests the contract on servers that are emptied before each test.
 *
 * @param runs Inputs of each property. Default: as many as on other stores
 */
function contract(t: Test, url: string, empty: () => Promise<unknown>, runs?: number): void {
  const open = async () => {
    await empty()
    return RedisSessionStore.open(url, patient)
  }
  sessionStoreContract(t, open, { expiresByItself: true, ...(runs && { runs }) })
  const openWorld = async () => {
    const store = await open()
    // Creating a session again discards later writes.
    return { store, rollBack: (session: Session) => store.create(session) }
  }
  sessionWorld(t, openWorld, { ...(runs && { runs }) })
}

/** A session is one key, so a rotation runs the same script on one server, whichever it is. */
const fewRuns = 15

t.test('one server', async (t) => {
  const server = await startRedis(t)
  contract(t, server.url, () => server.ask('FLUSHALL'))
})

t.test('a Cluster', async (t) => {
  const cluster = await startCluster(t)
  contract(t, cluster.url, cluster.empty, fewRuns)

  t.test('a command without a key goes to the server of the key that it is about', async (t) => {
    const options = { maxSilenceMs: patienceMs, hasReplicatedRole: false }
    const create = createConnectionFactory(parseRedisUrl(cluster.url), '.', options)
    const connection = closedWith(t, create({ onError: () => {}, onLost: () => {} }))
    await connection.connect()
    for (const node of cluster.nodes) await node.ask('CONFIG', 'RESETSTAT')
    const { signal } = new AbortController()
    for (const command of [['GET', 'key'], ...Array(5).fill(['WAIT', '0', '1']), ['TIME']]) {
      await connection.send('key', command, signal, 'main')
    }
    const stats = await Promise.all(cluster.nodes.map((node) => node.ask('INFO', 'commandstats')))
    const used = stats.map((text) => String(text).match(/cmdstat_(get|time|wait):calls=\d/g) ?? [])
    t.same(
      used.flat().toSorted(),
      ['cmdstat_get:calls=1', 'cmdstat_time:calls=1', 'cmdstat_wait:calls=5'],
      'each command is sent once',
    )
    t.equal(used.filter(({ length }) => length > 0).length, 1, 'to one server')
  })
})

t.test('Sentinel', async (t) => {
  const { url, primary } = await startSentinels(t)
  contract(t, url, () => primary.ask('FLUSHALL'), fewRuns)
})

const afterGraceMs = t0 + policy.graceMs + 1

t.test('refreshes of one turn of the event loop share their commands', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, patient))
  const sessions = Array.from({ length: 40 }, () => session({ sid: randomId() }))
  for (const one of sessions) await store.create(one)
  await server.ask('CONFIG', 'RESETSTAT')
  const found = await Promise.all(sessions.map(({ sid }) => store.find(sid, t0)))
  t.same(found, sessions)
  const requests = sessions.map(({ sid }, n) =>
    rotation({ sid, nowMs: afterGraceMs, found: found[n] ?? null }),
  )
  // The same refresh twice: one of the two replaces the row, and the other decides anew.
  const [first = rotation()] = requests
  const results = await Promise.all([...requests, first].map((one) => store.rotate(one)))
  t.same(new Set(results.slice(1, -1).map(({ outcome }) => outcome)), new Set(['rotated']))
  t.same(
    new Set([results[0], results.at(-1)].map((one) => one?.outcome)),
    new Set(['rotated', 'replayed']),
  )
  const stats = String(await server.ask('INFO', 'commandstats'))
  // 32 and 8 sessions, then the session of the refresh that decides anew; 32 and 9 changes.
  t.match(stats, 'cmdstat_mget:calls=3,')
  t.match(stats, 'cmdstat_evalsha:calls=2,')
})

t.test('a session that cannot be read fails alone', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, patient))
  const [good, bad, wrong] = [randomId(), randomId(), randomId()].map((sid) => session({ sid }))
  if (!good || !bad || !wrong) return t.fail('there are three sessions')
  for (const one of [good, bad, wrong]) await store.create(one)
  await server.ask('SETRANGE', sessionKey(bad.sid), '0', '\x09')
  await server.ask('DEL', sessionKey(wrong.sid))
  await server.ask('LPUSH', sessionKey(wrong.sid), 'not a row')
  const found = await Promise.allSettled([good, bad, wrong].map(({ sid }) => store.find(sid, t0)))
  t.match(found, [{ value: good }, { reason: { code: 'store_unavailable' } }, { value: null }])
  const rotated = await Promise.all(
    [good, wrong].map((one) =>
      store.rotate(rotation({ sid: one.sid, nowMs: afterGraceMs, found: one })),
    ),
  )
  t.match(rotated, [{ outcome: 'rotated' }, { outcome: 'unknown' }])
})
