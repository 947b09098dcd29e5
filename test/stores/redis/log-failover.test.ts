import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RevocationFeed } from '../../../src/issuer/revocation-feed.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { FakeClock } from '../../support/clock.ts'
import { patient } from '../../support/patience.ts'
import { cutOffReplicas, startRedis, startSentinels, until } from '../../support/redis.ts'
import { policy, session, t0 } from '../../support/sessions.ts'

const kept = policy.revokedKeptMs

t.test('a feed misses nothing of a new primary whose clock is behind', async (t) => {
  const { url, primary } = await startSentinels(t)
  const store = await RedisSessionStore.open(url, { ...patient, replicas: 1 })
  const feed = await RevocationFeed.open({
    sessions: store,
    clock: new FakeClock(t0),
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
  // As the primary writes it whose clock is a minute ahead.
  const id = `${Date.now() + 60_000}-0`
  const times = ['at', String(t0), 'expires', String(t0 + kept)]
  await primary.ask('XADD', 'gp:revocations', id, 'kind', 'session', 'id', lost, ...times)
  await feed.refresh()
  await feed.refresh()
  t.match(feed.position, id)
  await primary.kill()
  await until(() => store.revoke(after, t0, kept))
  const told: string[] = []
  feed.subscribe((entries) => told.push(...entries.map(({ id }) => id)))
  await feed.refresh()
  await feed.refresh()
  t.ok(told.includes(after) || feed.entriesAfter().some(({ id }) => id === after))
})

t.test('a reader goes on from an entry that is there, and begins anew without it', async (t) => {
  const server = await startRedis(t)
  const store = await RedisSessionStore.open(server.url, patient)
  t.teardown(() => store.close())
  const idsAfter = async (position: string) =>
    (await store.revocationsAfter(position, 2)).map(({ id }) => id)
  for (const sub of ['a', 'b', 'c']) await store.revokeAll(sub, t0, kept)
  const [first, second] = await store.revocationsAfter('', 10)
  t.same(await idsAfter(''), ['a', 'b'])
  t.same(await idsAfter(first?.position ?? ''), ['b', 'c'])
  await server.ask('XDEL', 'gp:revocations', second?.position ?? '')
  t.same(await idsAfter(second?.position ?? ''), ['a', 'c'])
  t.same(await idsAfter(`${Date.now() + 60_000}-0`), ['a', 'c'])
})
