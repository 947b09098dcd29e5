import t from 'tap'
import type { AuditEvent, AuditFields } from '../../src/issuer/audit.ts'
import { Sessions } from '../../src/issuer/sessions.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { FakeClock } from '../support/clock.ts'
import { session, t0 } from '../support/sessions.ts'

t.test('a user has a hundred sessions at most: the oldest make room', async (t) => {
  const store = new SqliteSessionStore(':memory:')
  t.teardown(() => store.close())
  const clock = new FakeClock(t0 + 1000)
  const sessions = new Sessions({ sessions: store, clock, revokedKeptMs: 300_000 })
  const told: [AuditEvent, AuditFields][] = []
  const audit = (event: AuditEvent, fields: AuditFields) => told.push([event, fields])
  const sidOf = (index: number) => `session-${index}`
  for (let index = 0; index < 99; index += 1) {
    await store.create(session({ sid: sidOf(index), createdAtMs: t0 + index }))
  }
  await store.create(session({ sid: 'of another', sub: 'user-2' }))

  await sessions.makeRoom('user-1', audit)
  t.strictSame(told, [], 'there is room for one')
  for (const index of [99, 100]) {
    await store.create(session({ sid: sidOf(index), createdAtMs: t0 + index }))
  }
  await sessions.makeRoom('user-1', audit)
  const reason = 'too_many_sessions'
  t.strictSame(told, [
    ['session.ended', { sub: 'user-1', sid: sidOf(1), reason }],
    ['session.ended', { sub: 'user-1', sid: sidOf(0), reason }],
  ])
  t.equal((await sessions.list('user-1')).length, 99)
  t.equal((await store.revocationsAfter('', 10)).length, 2, 'verifiers hear of it')
  t.ok(await sessions.isLive('of another'))
})
