import type { Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RevocationFeed } from '../../../src/issuer/revocation-feed.ts'
import { createConnectionFactory } from '../../../src/stores/redis/connection.ts'
import { RedisDataStore } from '../../../src/stores/redis/data-store.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { parseRedisUrl } from '../../../src/stores/redis/url.ts'
import { FakeClock } from '../../support/clock.ts'
import { closedWith } from '../../support/closed-with.ts'
import { lateMs, patienceMs, patient } from '../../support/patience.ts'
import {
  cutOffReplicas,
  demandReplicas,
  type RedisServer,
  startCluster,
  startSentinels,
  untilAnswered,
  untilInfo,
  untilReplicated,
} from '../../support/redis.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { startTcpServer } from '../../support/tcp-server.ts'
import { until } from '../../support/until.ts'
import { fieldsOf, newOwner, write } from '../data-store-contract.ts'
import { Load } from './load.ts'

const deadlineMs = 1_000
const kept = policy.revokedKeptMs

interface Failure {
  readonly url: string
  readonly primary: RedisServer
  /** The number of its replicas. */
  readonly replicas: number
  readonly fault: 'kill' | 'freeze'
}

/** Clients refresh while their primary fails and returns as a replica of another one. */
async function survivesFailure(t: Test, failure: Failure): Promise<void> {
  const { url, primary, replicas, fault } = failure
  const store = closedWith(t, await RedisSessionStore.open(url, { deadlineMs }))
  const load = await Load.start(t, store, Array.from({ length: 50 }, randomId))
  await load.untilAllAnswered()
  // A fail-over may lose a session that no replica has.
  await untilReplicated(primary, replicas)
  await primary[fault]()
  await load.untilUnavailable()
  await load.untilAllAnswered()
  if (fault === 'freeze') primary.thaw()
  await untilAnswered('a session is created', () =>
    store.create(session({ sid: randomId() })).then(() => true),
  )
  await load.untilAllAnswered()
  const report = await load.stop()
  t.same(report.wrong, [])
  t.ok(report.slowestMs < deadlineMs + lateMs, `the slowest took ${report.slowestMs} ms`)
}

for (const fault of ['kill', 'freeze'] as const) {
  t.test(`a primary behind sentinels fails under load: ${fault}`, async (t) => {
    const { url, primary, replicas } = await startSentinels(t)
    await survivesFailure(t, { url, primary, replicas: replicas.length, fault })
  })

  t.test(`a primary of a Cluster fails under load: ${fault}`, async (t) => {
    const { url, nodes } = await startCluster(t, { replicas: 1, nodeTimeoutMs: 2_000 })
    await survivesFailure(t, { url, primary: nodes[0] as RedisServer, replicas: 1, fault })
  })
}

t.test('a fail-over that loses rotations signs nobody out', async (t) => {
  const { url, primary } = await startSentinels(t)
  const store = closedWith(t, await RedisSessionStore.open(url, patient))
  const one = session({ sid: randomId() })
  const refresh = (generation: number, graces: number) =>
    store.rotate(rotation({ sid: one.sid, generation, nowMs: t0 + graces * policy.graceMs }))
  await store.create(one)
  await refresh(0, 1)
  await untilReplicated(primary, 2)
  await cutOffReplicas(primary)
  await refresh(1, 2)
  t.equal((await refresh(2, 3)).session?.generation, 3)
  await primary.kill()
  await untilAnswered(
    'a replica serves',
    async () => (await store.find(one.sid, t0))?.generation === 1,
  )
  t.match(await refresh(3, 4), { outcome: 'replayed', session: { generation: 3 } })
  t.match(await refresh(3, 5), { outcome: 'rotated', session: { generation: 4 } })
})

t.test('a client that was told of one sentinel knows the others when it dies', async (t) => {
  const { sentinels, primary } = await startSentinels(t)
  const [first, second] = sentinels
  const url = `redis+sentinel://127.0.0.1:${first?.port}/main`
  const store = closedWith(t, await RedisSessionStore.open(url, patient))
  await first?.kill()
  const [before, after] = [session({ sid: randomId() }), session({ sid: randomId() })]
  await store.create(before)
  t.ok(await store.find(before.sid, t0))
  await primary.kill()
  await store.create(after)
  t.ok(await store.find(after.sid, t0))
  const address = await second?.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')
  t.not(String(address), `127.0.0.1,${primary.port}`)
})

t.test('without any sentinel calls fail, until one responds', async (t) => {
  const { sentinels, primary, url } = await startSentinels(t)
  const store = closedWith(t, await RedisSessionStore.open(url, { deadlineMs }))
  for (const sentinel of sentinels) sentinel.freeze()
  await until('a call fails', () =>
    store.ping().then(
      () => false,
      () => true,
    ),
  )
  await t.rejects(store.ping(), { code: 'store_unavailable', retryAfterSeconds: 1 })
  t.match(await primary.ask('PING'), 'PONG', 'the primary works')
  sentinels[2]?.thaw()
  await untilAnswered('a call succeeds', () => store.ping().then(() => true))
})

t.test('the primary may have the name of one of its properties', async (t) => {
  const { sentinels, primary } = await startSentinels(t)
  const [sentinel] = sentinels as [RedisServer]
  for (const name of ['ip', 'port']) {
    await sentinel.ask('SENTINEL', 'MONITOR', name, '127.0.0.1', String(primary.port), '1')
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/${name}`
    const store = await RedisSessionStore.open(url, patient)
    await store.ping()
    await store.close()
  }
})

t.test('a client forgets the sentinels that no sentinel names any more', async (t) => {
  const { sentinels } = await startSentinels(t)
  const [first, second, third] = sentinels as [RedisServer, RedisServer, RedisServer]
  const target = parseRedisUrl(`redis+sentinel://127.0.0.1:${first.port}/main`)
  const limits = { maxSilenceMs: patienceMs, hasReplicatedRole: false }
  const create = createConnectionFactory(target, '.', limits)
  const connect = async () => {
    const connection = create({ onError: () => {}, onLost: () => {} })
    await connection.connect()
    connection.destroy()
  }
  await connect()
  await Promise.all([second.kill(), third.kill()])
  await first.ask('SENTINEL', 'RESET', 'main')
  await connect()
  let contacts = 0
  // Another group may get the address, and call its primary by the same name.
  const contact = (socket: Socket) => {
    contacts += 1
    socket.destroy()
  }
  await startTcpServer(t, contact, second.port)
  await connect()
  t.equal(contacts, 0)
})

/** Consecutive successes after which the client has left the old primary. */
const timesInARow = 20

for (const [name, demands] of [
  ['demands replicas', true],
  ['demands none', false],
] as const) {
  t.test(
    `the client leaves a former primary that still takes itself for the primary and ${name}`,
    async (t) => {
      const { url, primary, replicas, failOver } = await startSentinels(t)
      if (demands) await demandReplicas([primary, ...replicas])
      const data = await RedisDataStore.open(url, { replicas: 1 })
      const sessions = await RedisSessionStore.open(url, { replicas: 1 })
      t.teardown(() => Promise.all([data.close(), sessions.close()]))
      const [owner, sid] = [newOwner(), randomId()]
      // Else the sentinels make it a replica about ten seconds later.
      await primary.ask('ACL', 'SETUSER', 'default', '-replicaof', '-slaveof')

      /** Whether reads see what both stores have acknowledged. */
      const isSeen = async () => {
        const one = write({ owner })
        await data.write(one)
        await sessions.create(session({ sid }))
        const fields = await data.read(owner, 'all', t0)
        await sessions.revoke(sid, t0, policy.revokedKeptMs)
        const isLive = (await sessions.find(sid, t0)) !== null
        return isDeepStrictEqual(fields, fieldsOf(one)) && !isLive
      }

      await failOver()
      await untilInfo(primary, 'INFO', 'connected_slaves:0')
      let [inARow, unseen] = [0, 0]
      await until('all is seen', async () => {
        const outcome = await isSeen().catch((error: unknown) => {
          t.match(error, { code: 'store_unavailable' })
          return null
        })
        if (outcome === false) unseen += 1
        inARow = outcome ? inARow + 1 : 0
        return inARow === timesInARow
      })
      t.match(String(await primary.ask('ROLE')), /^master/, 'it still takes itself for the primary')
      t.equal(unseen, 0, 'reads see what was acknowledged')
    },
  )
}

t.test('a feed reads the log of a new primary whose clock is behind', async (t) => {
  const { url, primary } = await startSentinels(t)
  const store = await RedisSessionStore.open(url, { ...patient, replicas: 1 })
  const clock = new FakeClock(t0)
  const feed = await RevocationFeed.open({
    sessions: store,
    clock,
    expiryClock: clock,
    keptMs: kept,
  })
  t.teardown(async () => {
    await feed.close()
    await store.close()
  })
  const [before, lost, after] = [randomId(), randomId(), randomId()]
  for (const sid of [before, lost, after]) await store.create(session({ sid }))
  await store.revoke(before, t0, kept)
  await cutOffReplicas(primary)
  // An entry of a primary whose clock is a minute ahead.
  const id = `${Date.now() + 60_000}-0`
  const times = ['at', String(t0), 'expires', String(t0 + kept)]
  await primary.ask('XADD', 'gp:revocations', id, 'kind', 'session', 'id', lost, ...times)
  await feed.refresh()
  await feed.refresh()
  t.match(feed.position, id)
  await primary.kill()
  await untilAnswered('a session is revoked', () => store.revoke(after, t0, kept))
  const told: string[] = []
  feed.subscribe((entries) => told.push(...entries.map(({ id }) => id)))
  await feed.refresh()
  await feed.refresh()
  t.ok(told.includes(after) || feed.entriesAfter().some(({ id }) => id === after))
})
