import t, { type Test } from 'tap'
import type { AuditEvent, AuditFields } from '../../src/issuer/audit.ts'
import { signInClientId } from '../../src/issuer/clients.ts'
import { Sessions } from '../../src/issuer/sessions.ts'
import { numberOf, SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { FakeClock } from '../support/clock.ts'
import { closedWith } from '../support/closed-with.ts'
import { policy, session, t0 } from '../support/sessions.ts'

function open(t: Test, nowMs = t0) {
  const store = closedWith(t, new SqliteSessionStore(':memory:'))
  const sessions = new Sessions({
    store,
    policy: { ...policy, maxMs: 86_400_000 },
    clock: new FakeClock(nowMs),
    checkClock: async () => {},
  })
  return { store, sessions }
}

t.test('a user has at most 100 sessions: a login revokes the oldest', async (t) => {
  const { store, sessions } = open(t, t0 + 1000)
  const revoked: [AuditEvent, AuditFields][] = []
  const audit = (event: AuditEvent, fields: AuditFields) => revoked.push([event, fields])
  const sidOf = (index: number) => `session-${index}`
  for (let index = 0; index < 99; index += 1) {
    // Of two sign-ins the earlier one ends, whichever was refreshed last.
    const times = { createdAtMs: t0 + index, mintedAtMs: t0 + 999 - index }
    await store.create(session({ sid: sidOf(index), ...times }))
  }
  await store.create(session({ sid: 'of another', sub: 'user-2' }))

  const login = (index: number) =>
    sessions.create(session({ sid: sidOf(index), createdAtMs: t0 + index }), audit)

  await login(99)
  t.strictSame(revoked, [], 'there is room for one')
  for (const index of [100, 101]) {
    await store.create(session({ sid: sidOf(index), createdAtMs: t0 + index }))
  }
  await login(102)
  const reason = 'too_many_sessions'
  t.strictSame(revoked, [
    ['session.revoked', { sub: 'user-1', sid: sidOf(2), reason }],
    ['session.revoked', { sub: 'user-1', sid: sidOf(1), reason }],
    ['session.revoked', { sub: 'user-1', sid: sidOf(0), reason }],
  ])
  t.equal((await sessions.list('user-1')).length, 100)
  t.equal((await store.revocationsAfter('', 10)).length, 3, 'verifiers are notified')
  t.ok(await sessions.find('of another'))

  // A client that joins an earlier sign-in gets a session that began with the sign-in.
  await sessions.create(session({ sid: sidOf(103), createdAtMs: t0 }), audit)
  t.same(revoked.at(-1), ['session.revoked', { sub: 'user-1', sid: sidOf(3), reason }])
  t.ok(await sessions.find(sidOf(103)), 'the new session stays')

  t.comment('of the sessions from one sign-in, the one that was refreshed least recently ends')
  const sub = 'user-3'
  const startFrom = (sid: string, mintedAtMs: number) =>
    session({ sub, sid, createdAtMs: t0, mintedAtMs })
  await store.create(session({ sub, sid: 'sign-in', clientId: signInClientId }))
  await store.create(startFrom('a refreshed session', t0 + 900))
  for (let index = 0; index < 98; index += 1) await store.create(startFrom(`${index}`, t0 + index))
  await sessions.create(startFrom('new', t0 + 901), audit)
  t.same(revoked.at(-1), ['session.revoked', { sub, sid: '0', reason }])
  t.equal((await sessions.list(sub)).length, 100)
  t.comment('a login elsewhere ends no sign-in either while it has sessions')
  await sessions.create(session({ sub, sid: 'elsewhere', createdAtMs: t0 + 902 }), audit)
  t.same(revoked.at(-1), ['session.revoked', { sub, sid: '1', reason }])
  t.comment('a client that starts many sessions from one sign-in ends no session of another device')
  for (const index of [0, 1]) {
    const createdAtMs = t0 - 1 - index
    await store.create(session({ sub: 'user-4', sid: `device ${index}`, createdAtMs }))
  }
  const renewed = (index: number) =>
    session({ sub: 'user-4', sid: `renewed ${index}`, createdAtMs: t0, mintedAtMs: t0 + index })
  for (let index = 0; index < 98; index += 1) await store.create(renewed(index))
  for (const index of [98, 99]) {
    await sessions.create(renewed(index), audit)
    const sid = `renewed ${index - 98}`
    t.same(revoked.at(-1), ['session.revoked', { sub: 'user-4', sid, reason }])
  }

  t.comment('a new session of an old sign-in ends neither itself nor that sign-in')
  for (let index = 1; index < 100; index += 1) {
    await store.create(session({ sub: 'user-5', sid: `newer ${index}`, createdAtMs: t0 + index }))
  }
  const old = (sid: string, clientId: string, createdAtMs = t0 - 1) =>
    session({ sub: 'user-5', sid, clientId, createdAtMs })
  await store.create(old('the sign-in', signInClientId))
  await store.create(old('an earlier sign-in', signInClientId, t0 - 2))
  await sessions.create(old('its first session', 'one'), audit)
  await sessions.create(old('its second session', 'two'), audit)
  const ended = revoked.slice(-3).map(([, { sid }]) => sid)
  t.same(ended, ['newer 1', 'an earlier sign-in', 'its first session'])
})

t.test('refreshes of a disabled account at once report each ended session once', async (t) => {
  const { store, sessions } = open(t)
  const counts: (number | undefined)[] = []
  const audit = (_event: AuditEvent, { count }: AuditFields) => counts.push(count)
  const all = ['one', 'two', 'three'].map((sid) => session({ sid }))
  for (const one of all) await store.create(one)
  await Promise.all(
    [...all, ...all].map((one) => sessions.revokeAllOfAccount(one, 'account_disabled', audit)),
  )
  t.notOk(counts.includes(0), String(counts))
  t.equal(
    counts.reduce((sum = 0, count = 0) => sum + count, 0),
    3,
  )
})

t.test('a session that a code starts while older sessions are ended is ended too', async (t) => {
  const { store, sessions } = open(t)
  // In the order in which the store ends them, 500 at a time.
  const sids = Array.from({ length: 502 }, (_, n) => `session ${n}`)
  const [started = '', ...others] = sids.toSorted((a, b) => (numberOf(a) < numberOf(b) ? -1 : 1))
  const signIn = others.at(-1) ?? ''
  for (const sid of others) await store.create(session({ sid }))
  const batches: (readonly string[])[] = []
  const onRevoked = async (ended: readonly string[]) => {
    if (batches.push(ended) > 1) return
    t.ok(await sessions.find(signIn), 'the sign-in, and so its code, is still valid')
    await store.create(session({ sid: started }))
  }
  const count = await sessions.revokeCreatedBefore(t0 + 1, onRevoked, async () => false)
  t.equal(await sessions.find(started), null)
  t.equal(count, 502)
  t.same(batches.slice(1), [[signIn], [started]])
})
