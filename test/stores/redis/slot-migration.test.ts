import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { lateMs } from '../../support/patience.ts'
import { meet, type RedisServer, startCluster, startNode, untilInfo } from '../../support/redis.ts'
import { policy, session, t0 } from '../../support/sessions.ts'
import { Load } from './load.ts'

/** Long, as no call may fail, also on a loaded machine. */
const deadlineMs = 30_000

/** Moves a slot with its keys, like `redis-cli --cluster reshard`. */
async function moveSlot(
  slot: string,
  from: RedisServer,
  to: RedisServer,
  all: readonly RedisServer[],
): Promise<void> {
  const [fromId, toId] = await Promise.all([from, to].map((node) => node.ask('CLUSTER', 'MYID')))
  await to.ask('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(fromId))
  await from.ask('CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(toId))
  for (;;) {
    const keys = (await from.ask('CLUSTER', 'GETKEYSINSLOT', slot, '5')) as string[]
    if (keys.length === 0) break
    await from.ask('MIGRATE', '127.0.0.1', `${to.port}`, '', '0', '5000', 'KEYS', ...keys)
    // Meanwhile clients use the slot while both nodes hold a part of it.
    await sleep(25)
  }
  // The new owner first, so that the slot always has one.
  for (const node of [to, from, ...all]) {
    await node.ask('CLUSTER', 'SETSLOT', slot, 'NODE', String(toId))
  }
}

t.test('slots move between nodes while their sessions are refreshed', async (t) => {
  const { url, nodes } = await startCluster(t)
  const newcomer = await startNode(t)
  const [first, second, third] = nodes
  if (first === undefined || second === undefined || third === undefined)
    throw new Error('no nodes')
  await meet(newcomer, first)
  for (const node of [newcomer, ...nodes]) {
    await untilInfo(node, 'CLUSTER', 'cluster_known_nodes:4\r')
    await untilInfo(node, 'CLUSTER', 'cluster_state:ok')
  }
  const store = closedWith(t, await RedisSessionStore.open(url, { deadlineMs }))
  // All are in the slot of the tag, 8338, which belongs to the second primary.
  const sids = Array.from({ length: 50 }, (_, n) => `{tag}${n}`)
  const slot = String(await first.ask('CLUSTER', 'KEYSLOT', '{tag}'))
  t.ok(Number(slot) > 5460 && Number(slot) <= 10_922, slot)
  const load = await Load.start(t, store, sids)
  await load.untilAllAnswered()
  for (const [from, to] of [
    [second, first],
    [first, third],
    // It has no slot yet, and no script.
    [third, newcomer],
    [newcomer, second],
  ] as const) {
    await moveSlot(slot, from, to, [newcomer, ...nodes])
    await load.untilAllAnswered()
  }
  const report = await load.stop()
  t.same(report.wrong, [])
  t.ok(report.slowestMs < deadlineMs + lateMs, `the slowest took ${report.slowestMs} ms`)
  t.equal(report.unavailable, 0)
})

t.test('sessions in a slot that moves during endCreatedBefore are revoked too', async (t) => {
  const { url, nodes } = await startCluster(t)
  const [first, second] = nodes
  if (first === undefined || second === undefined) throw new Error('no nodes')
  const store = closedWith(t, await RedisSessionStore.open(url, { deadlineMs }))
  const slot = String(await first.ask('CLUSTER', 'KEYSLOT', '{tag}'))
  const sids = Array.from({ length: 60 }, (_, n) => (n % 3 === 0 ? `{tag}${n}` : `${n}`))
  await Promise.all(sids.map((sid) => store.create(session({ sid }))))
  const ended: string[] = []
  for await (const batch of store.endCreatedBefore(t0 + 1, t0 + 1, policy.revokedKeptMs)) {
    // The scan has already passed the new node, and has not yet reached the old one.
    if (ended.length === 0) await moveSlot(slot, second, first, nodes)
    ended.push(...batch)
  }
  t.same(ended.toSorted(), sids.toSorted())
  for (const sid of sids) t.equal(await store.find(sid, t0 + 1), null, sid)
})
