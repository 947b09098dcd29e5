import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import { randomId } from '../../../src/core/secrets.ts'
import { RevocationFeed } from '../../../src/issuer/revocation-feed.ts'
import { logStart, type Session } from '../../../src/stores/ports.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { FakeClock } from '../../support/clock.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import {
  cutOffReplicas,
  demandReplicas,
  type RedisServer,
  startCluster,
  startSentinels,
  untilAnswered,
  untilReplicated,
} from '../../support/redis.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'

/** An acknowledged sign-out is not lost if the primary fails right after it. */

const deadlineMs = 1_000
const kept = policy.revokedKeptMs
const sessionCount = 400
const signOutsAtOnce = 8

const unavailable = { code: 'store_unavailable' }

/** A store for calls that must succeed, and one for calls that must fail. */
async function openBoth(t: Test, url: string, replicas = 1) {
  const store = await RedisSessionStore.open(url, { ...patient, replicas })
  const hasty = await RedisSessionStore.open(url, { deadlineMs, replicas })
  t.teardown(() => Promise.all([store.close(), hasty.close()]))
  return { store, hasty }
}

interface Fault {
  readonly url: string
  readonly primary: RedisServer
  readonly fault: 'kill' | 'freeze'
}

/** Repeats a call until it gets a response. */
async function answerOf<T>(call: () => Promise<T>, onFailure = () => {}): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!isGatepassError(error, 'store_unavailable')) throw error
      onFailure()
      await sleep(20)
    }
  }
}

/** Many users sign out while the primary fails at a random moment. */
async function losesNoSignOut(t: Test, { url, primary, fault }: Fault): Promise<void> {
  const store = await RedisSessionStore.open(url, { deadlineMs, replicas: 1 })
  const clock = new FakeClock(Date.now())
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
  const sids = Array.from({ length: sessionCount }, randomId)
  await Promise.all(sids.map((sid) => answerOf(() => store.create(session({ sid, sub: sid })))))
  const leaving = sids.slice(sessionCount / 10)
  const waiting = [...leaving]
  let failures = 0
  const users = Array.from({ length: signOutsAtOnce }, async () => {
    for (let sid = waiting.pop(); sid !== undefined; sid = waiting.pop()) {
      const leavingSid = sid
      await answerOf(
        () => store.revoke(leavingSid, Date.now(), kept),
        () => failures++,
      )
    }
  })
  const left = sessionCount / 2 + randomInt(sessionCount / 4)
  while (waiting.length > left) await sleep(1)
  await primary[fault]()
  await Promise.all(users)
  // It returns as a replica of the new primary, without the writes that only it had.
  if (fault === 'freeze') primary.thaw()
  t.ok(failures > 0)
  t.comment(`${failures} sign-outs were asked for again`)

  const noted = () => new Set(feed.entriesAfter().map(({ id }) => id))
  await until('all are noted', () => leaving.every((sid) => noted().has(sid)))
  const told = noted()
  for (const sid of sids) {
    const isLeft = leaving.includes(sid)
    const { outcome } = await answerOf(() => store.rotate(rotation({ sid })))
    const isLive = (await answerOf(() => store.find(sid, t0))) !== null
    const state = { outcome, isLive, isNoted: told.has(sid) }
    const expected = isLeft
      ? { outcome: 'revoked', isLive: false, isNoted: true }
      : { outcome: 'replayed', isLive: true, isNoted: false }
    t.same(state, expected, sid)
  }
}

for (const fault of ['kill', 'kill', 'freeze'] as const) {
  t.test(`no acknowledged sign-out is lost behind sentinels: ${fault}`, async (t) => {
    const { url, primary, replicas } = await startSentinels(t)
    await demandReplicas([primary, ...replicas])
    await losesNoSignOut(t, { url, primary, fault })
  })
}

for (const fault of ['kill', 'freeze'] as const) {
  t.test(`no acknowledged sign-out is lost in a Cluster: ${fault}`, async (t) => {
    // The new primary has a replica as well.
    const { url, nodes } = await startCluster(t, { replicas: 2, nodeTimeoutMs: 2_000 })
    await demandReplicas(nodes)
    await losesNoSignOut(t, { url, primary: nodes[0] as RedisServer, fault })
  })
}

for (const replicas of [0, 1]) {
  t.test(`a sign-out that no replica has is lost, with ${replicas} to confirm`, async (t) => {
    const { url, primary } = await startSentinels(t)
    const { store, hasty } = await openBoth(t, url, replicas)
    const one = session({ sid: randomId() })
    await store.create(one)
    await untilReplicated(primary, 2)
    await cutOffReplicas(primary)
    if (replicas === 0) t.equal(await store.revoke(one.sid, t0, kept), true, 'it is acknowledged')
    else await t.rejects(hasty.revoke(one.sid, t0, kept), { ...unavailable, retryAfterSeconds: 1 })
    await primary.kill()
    await untilAnswered(
      'a replay',
      async () => (await store.rotate(rotation({ sid: one.sid }))).outcome === 'replayed',
    )
    t.same((await store.find(one.sid, t0))?.revokedAtMs, null)
    if (replicas === 1) {
      await untilAnswered('a sign-out', () => store.revoke(one.sid, t0 + 1, kept))
    }
  })
}

t.test(
  'while replicas are silent nothing is acknowledged, and repeated calls succeed later',
  async (t) => {
    const { url, primary, replicas } = await startSentinels(t)
    const { store, hasty } = await openBoth(t, url)
    const [one, other, reused, rotating, listed] = Array.from({ length: 5 }, () =>
      session({ sid: randomId(), sub: randomId(), generation: 3 }),
    ) as [Session, Session, Session, Session, Session]
    for (const each of [one, other, reused, rotating]) await store.create(each)
    const expiresAtMs = t0 + 60_000
    await store.putOneTime('code', 'payload', expiresAtMs)
    for (const replica of replicas) replica.freeze()

    const stolen = rotation({ sid: reused.sid, generation: 1 })
    const calls: Record<string, () => Promise<unknown>> = {
      create: () => hasty.create(listed),
      revoke: () => hasty.revoke(one.sid, t0 + 1, kept),
      revokeAll: () => hasty.revokeAll(other.sub, t0 + 1, kept),
      'the end of all tokens': () => hasty.appendRevocation('all', '', t0 + 1, kept),
      'a revoked key': () => hasty.appendRevocation('key', 'kid', t0 + 1, kept),
      'an ended session': () => hasty.appendRevocation('session', 'sid', t0 + 1, kept),
      'the end of a reused session': () => hasty.rotate(stolen),
      putOneTime: () => hasty.putOneTime('other code', 'payload', expiresAtMs),
      takeOneTime: () => hasty.takeOneTime('code', 'sid-1', t0),
      claimOnce: () => hasty.claimOnce('jti', expiresAtMs),
    }
    for (const [name, call] of Object.entries(calls)) {
      const failing = t.rejects(call(), { ...unavailable, retryAfterSeconds: 1 }, name)
      // Rotations do not wait for replicas.
      t.equal(
        (await store.rotate(rotation({ sid: rotating.sid, generation: 3 }))).outcome,
        'replayed',
      )
      await failing
    }

    t.match(await store.find(one.sid, t0), one, 'nothing ends before replicas have that in the log')
    t.equal(await store.find(reused.sid, t0), null, 'a stolen one is of no use')
    for (const replica of replicas) replica.thaw()
    await untilReplicated(primary, 2)
    t.equal(await store.revoke(one.sid, t0 + 2, kept), true)
    t.equal(await store.revoke(one.sid, t0 + 3, kept), false)
    t.equal(await store.revokeAll(other.sub, t0 + 2, kept), 1)
    t.equal(await store.revokeAll(other.sub, t0 + 3, kept), 0)
    t.same(await store.takeOneTime('code', 'sid-2', t0), {
      state: 'used',
      payload: 'payload',
      takenBy: 'sid-1',
    })
    t.equal((await store.takeOneTime('code', 'sid-1', t0)).state, 'first')
    t.equal((await store.rotate(stolen)).outcome, 'reused')
    t.equal((await store.rotate(stolen)).outcome, 'revoked')
    for (const { sid } of [one, other, reused]) {
      t.equal(await store.find(sid, t0), null)
      t.equal((await store.rotate(rotation({ sid, generation: 3 }))).outcome, 'revoked')
    }
  },
)

/** Revokes a session: its replica is frozen, and the replica of the log confirms the entry. */
async function startUnconfirmed(t: Test) {
  const { url, nodes } = await startCluster(t, { replicas: 1 })
  const { store, hasty } = await openBoth(t, url)
  const third = async (key: string) =>
    Math.floor((3 * Number(await nodes[0]?.ask('CLUSTER', 'KEYSLOT', key))) / 16_384)
  const away = (1 + (await third('gp:revocations'))) % 3
  let sid = randomId()
  while ((await third(`gp:s:${sid}`)) !== away) sid = randomId()
  const one = session({ sid })
  await store.create(one)
  const [primary, replica] = [nodes[away], nodes[away + 3]] as [RedisServer, RedisServer]
  replica.freeze()
  await until('the row has the end', async () => {
    // On a loaded machine the entry of the log alone may take until the deadline.
    await t.rejects(hasty.revoke(sid, t0, kept), unavailable)
    return (await hasty.rotate(rotation({ sid })).catch(() => null)) === null
  })
  const settle = async () => {
    replica.thaw()
    await untilReplicated(primary, 1)
  }
  return { store, hasty, one, settle }
}

t.test('a session with an unconfirmed end can be ended again', async (t) => {
  const { store, hasty, one, settle } = await startUnconfirmed(t)
  t.match(await store.find(one.sid, t0), { sid: one.sid }, 'so whoever has its token may do it')
  t.match(await store.listBySub(one.sub, t0), [{ sid: one.sid }])
  await t.rejects(hasty.rotate(rotation({ sid: one.sid })), unavailable)
  await t.rejects(hasty.revoke(one.sid, t0, kept), unavailable)
  await settle()
  t.equal(await store.revoke(one.sid, t0 + 1, kept), true)
  t.equal(await store.revoke(one.sid, t0 + 2, kept), false)
  t.equal(await store.find(one.sid, t0), null)
  t.same(await store.listBySub(one.sub, t0), [])
  t.equal((await store.rotate(rotation({ sid: one.sid }))).outcome, 'revoked')
})

t.test('all sessions of a user can be ended, one of them with an unconfirmed end', async (t) => {
  const { store, hasty, one, settle } = await startUnconfirmed(t)
  await t.rejects(hasty.revokeAll(one.sub, t0, kept), unavailable)
  await settle()
  t.equal(await store.revokeAll(one.sub, t0 + 1, kept), 1)
  t.equal(await store.find(one.sid, t0), null)
})

t.test('a refresh of a session with an unconfirmed end ends it', async (t) => {
  const { store, one, settle } = await startUnconfirmed(t)
  await settle()
  t.equal((await store.rotate(rotation({ sid: one.sid }))).outcome, 'revoked')
  t.equal(await store.find(one.sid, t0), null)
})

t.test('a repeated sign-out is acknowledged once replicas have the first one', async (t) => {
  const { url, primary, replicas } = await startSentinels(t)
  const { store, hasty } = await openBoth(t, url)
  const unconfirmed = closedWith(t, await RedisSessionStore.open(url, patient))
  const one = session({ sid: randomId() })
  await store.create(one)
  for (const replica of replicas) replica.freeze()
  t.equal(await unconfirmed.revoke(one.sid, t0, kept), true)
  await t.rejects(hasty.revoke(one.sid, t0 + 1, kept), unavailable)
  for (const replica of replicas) replica.thaw()
  await untilReplicated(primary, 2)
  t.equal(await store.revoke(one.sid, t0 + 1, kept), false)
})

t.test('a sign-out after a reuse without a log entry appends one', async (t) => {
  const { url, primary } = await startSentinels(t)
  const store = closedWith(t, await RedisSessionStore.open(url, patient))
  const one = session({ sid: randomId(), generation: 3 })
  await store.create(one)
  // Redis cannot append to a string.
  await primary.ask('SET', 'gp:revocations', '')
  await t.rejects(store.rotate(rotation({ sid: one.sid, generation: 1 })), {
    code: 'store_unavailable',
  })
  await primary.ask('DEL', 'gp:revocations')
  t.equal(await store.revoke(one.sid, t0 + 1, kept), true)
  t.match(await store.revocationsAfter(logStart, 10), [{ kind: 'session', id: one.sid }])
})

t.test('changes have their own connection if replicas confirm them', async (t) => {
  const { url, primary } = await startSentinels(t)
  const links = async () =>
    String(await primary.ask('CLIENT', 'LIST', 'TYPE', 'normal')).split('name=gatepass').length - 1
  const before = await links()
  const one = closedWith(t, await RedisSessionStore.open(url, patient))
  await one.ping()
  const eachOpens = (await links()) - before
  const two = closedWith(t, await RedisSessionStore.open(url, { ...patient, replicas: 1 }))
  await two.ping()
  t.equal((await links()) - before, 3 * eachOpens)
})
