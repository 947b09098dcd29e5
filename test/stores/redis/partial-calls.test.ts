import t, { type Test } from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { expiryMarginMs, logStart, type SessionStore } from '../../../src/stores/ports.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'

/** The rest of a call that stops between two commands, and the expiry of each key. */

/** A store with its own ACL user. A test forbids that user a command, so that a call stops there. */
async function openWithUser(t: Test): Promise<{ server: RedisServer; store: SessionStore }> {
  const server = await startRedis(t)
  await server.ask('ACL', 'SETUSER', 'gatepass', 'on', '>word', '~*', '+@all')
  const url = server.url.replace('://', '://gatepass:word@')
  const store = closedWith(t, await RedisSessionStore.open(url, patient))
  return { server, store }
}

const unavailable = { code: 'store_unavailable' }
const kept = policy.revokedKeptMs

t.test('a session is reused until the log has an entry', async (t) => {
  const { server, store } = await openWithUser(t)
  const one = session({ sid: randomId(), generation: 3 })
  await store.create(one)
  const stolen = rotation({ sid: one.sid, generation: 1, nowMs: t0 + 1 })
  await server.ask('ACL', 'SETUSER', 'gatepass', '-xadd')
  await t.rejects(store.rotate(stolen), unavailable)
  t.equal(await store.find(one.sid, t0 + 1), null)
  await server.ask('ACL', 'SETUSER', 'gatepass', '+xadd')
  const owner = rotation({ sid: one.sid, generation: 3, nowMs: t0 + 2_000 })
  t.equal((await store.rotate(owner)).outcome, 'reused')
  t.equal((await store.rotate(owner)).outcome, 'revoked')
  const log = await store.revocationsAfter(logStart, 10)
  t.match(log, [{ kind: 'session', id: one.sid, atMs: t0 + 1 }])
  t.equal(log.length, 1)
})

t.test('a session does not end before the log has an entry', async (t) => {
  const { server, store } = await openWithUser(t)
  const one = session({ sid: randomId() })
  await store.create(one)
  await server.ask('ACL', 'SETUSER', 'gatepass', '-xadd')
  await t.rejects(store.revoke(one.sid, t0, kept), unavailable)
  await t.rejects(store.revokeAll(one.sub, t0, kept), unavailable)
  t.same(await store.find(one.sid, t0), one)
  // The log can be written, the sessions cannot.
  await server.ask('ACL', 'SETUSER', 'gatepass', '+xadd', 'resetkeys', '~gp:revocations', '~gp:u:*')
  await t.rejects(store.revokeAll(one.sub, t0, kept), unavailable)
  t.match(await store.revocationsAfter(logStart, 10), [{ kind: 'user', id: one.sub }])
  await server.ask('ACL', 'SETUSER', 'gatepass', '~*')
  t.equal(await store.revokeAll(one.sub, t0, kept), 1)
})

t.test('a session without an entry in the list of its user only expires', async (t) => {
  const { server, store } = await openWithUser(t)
  const one = session({ sid: randomId() })
  await server.ask('ACL', 'SETUSER', 'gatepass', '-zadd')
  await t.rejects(store.create(one), unavailable)
  t.same(await store.listBySub(one.sub, t0), [])
  t.equal(await server.ask('PEXPIRETIME', `gp:s:${one.sid}`), one.expiresAtMs + expiryMarginMs)
})

t.test('ended sessions are removed from the list of their user', async (t) => {
  const { server, store } = await openWithUser(t)
  const all = Array.from({ length: 4 }, () => session({ sid: randomId() }))
  for (const one of all) await store.create(one)
  const [signedOut, reused, gone, live] = all.map(({ sid }) => sid)
  const listed = async () =>
    ((await server.ask('ZRANGE', 'gp:u:user-1', '0', '-1')) as string[]).toSorted()
  t.same(await listed(), all.map(({ sid }) => sid).toSorted())
  await store.revoke(signedOut ?? '', t0, kept)
  await store.rotate(rotation({ sid: reused ?? '', generation: 0, nowMs: t0 + 20_000 }))
  await store.rotate(rotation({ sid: reused ?? '', generation: 0, nowMs: t0 + 40_000 }))
  await server.ask('DEL', `gp:s:${gone}`)
  t.equal((await listed()).length, 3)
  t.equal((await store.listBySub('user-1', t0)).length, 1)
  t.same(await listed(), [live])
  // A session that has expired by this clock may be live by another.
  t.same(await store.listBySub('user-1', t0 + policy.idleMs), [])
  t.same(await listed(), [live])
})

t.test('the list of a user expires with its last session', async (t) => {
  const { server, store } = await openWithUser(t)
  const end = (days: number) => t0 + days * 86_400_000
  for (const days of [3, 9, 5])
    await store.create(session({ sid: randomId(), endsAtMs: end(days) }))
  t.equal(await server.ask('PEXPIRETIME', 'gp:u:user-1'), end(9) + expiryMarginMs)
  await store.create(session({ sid: randomId(), createdAtMs: end(6), endsAtMs: end(7) }))
  t.equal(await server.ask('ZCARD', 'gp:u:user-1'), 2)
})

t.test('Redis removes a row or a one-time value a minute after it has expired', async (t) => {
  const { server, store } = await openWithUser(t)
  const expiry = (sid: string) => server.ask('PEXPIRETIME', `gp:s:${sid}`)
  const one = session({ sid: randomId(), endsAtMs: t0 + 2 * policy.idleMs })
  await store.create(one)
  t.equal(await expiry(one.sid), t0 + policy.idleMs + expiryMarginMs)
  for (const [generation, afterMs] of [
    [0, 20_000],
    [1, policy.idleMs],
  ] as const) {
    const nowMs = t0 + afterMs
    await store.rotate(rotation({ sid: one.sid, generation, nowMs }))
    t.equal(await expiry(one.sid), nowMs + policy.idleMs + expiryMarginMs)
  }
  await store.revoke(one.sid, t0 + 1_000, kept)
  t.equal(await expiry(one.sid), t0 + 1_000 + kept + expiryMarginMs)

  const old = session({ sid: randomId(), expiresAtMs: Date.now() })
  await store.create(old)
  t.equal(
    (await store.rotate(rotation({ sid: old.sid, nowMs: old.expiresAtMs }))).outcome,
    'expired',
  )
  t.equal(await server.ask('PEXPIREAT', `gp:s:${old.sid}`, '1'), 1)
  t.equal((await store.rotate(rotation({ sid: old.sid }))).outcome, 'unknown')

  await store.putOneTime('code', 'payload', one.expiresAtMs)
  await store.claimOnce('proof', one.expiresAtMs)
  for (const id of ['code', 'proof']) {
    const expiresAtMs = one.expiresAtMs + expiryMarginMs
    t.equal(await server.ask('PEXPIRETIME', `gp:o:${id}`), expiresAtMs, id)
  }
})

t.test('a user with 1,000 sessions lists and ends them all', async (t) => {
  const { store } = await openWithUser(t)
  const sids = Array.from({ length: 1_000 }, randomId)
  for (let n = 0; n < sids.length; n += 250) {
    const some = sids.slice(n, n + 250)
    await Promise.all(some.map((sid) => store.create(session({ sid }))))
  }
  t.equal((await store.listBySub('user-1', t0)).length, 1_000)
  t.equal(await store.revokeAll('user-1', t0, kept), 1_000)
  t.same(await store.listBySub('user-1', t0), [])
})

t.test('a server without the scripts receives them again', async (t) => {
  const { server, store } = await openWithUser(t)
  const one = session({ sid: randomId() })
  await store.create(one)
  await server.ask('SCRIPT', 'FLUSH')
  t.equal((await store.rotate(rotation({ sid: one.sid }))).outcome, 'replayed')
})

t.test('a reader continues from an entry that exists, and otherwise starts again', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, patient))
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
