import t from 'tap'
import { EventLog } from '../../src/playground/event-log.ts'
import { FakeClock } from '../support/clock.ts'

t.test('a caller receives the events after an id', async (t) => {
  const clock = new FakeClock()
  const log = new EventLog(clock)
  log.add('key.created', { kid: 'k1' })
  clock.advance_s(1)
  log.add('refresh.refused', { sid: 's1', reason: 'expired' })
  t.same(log.after(0), [
    { id: 1, at: '2026-01-01T00:00:00.000Z', event: 'key.created', kid: 'k1' },
    {
      id: 2,
      at: '2026-01-01T00:00:01.000Z',
      event: 'refresh.refused',
      session_id: 's1',
      reason: 'expired',
    },
  ])
  t.same(
    log.after(1).map(({ id }) => id),
    [2],
  )
  t.same(log.after(2), [])
  t.same(log.after(Number.NaN), [])
})

t.test('an event contains no more about a user than the session', async (t) => {
  const log = new EventLog(new FakeClock())
  log.add('login.throttled', { sub: 'u1', client_id: 'web', network: '192.0.2.0/24', count: 9 })
  t.same(Object.keys(log.after(0)[0] ?? {}), ['id', 'at', 'event'])
})

t.test('the log keeps the last 200 events', async (t) => {
  const log = new EventLog(new FakeClock())
  for (let count = 0; count < 250; count++) log.add('logout', {})
  const ids = log.after(0).map(({ id }) => id)
  t.equal(ids.length, 200)
  t.same([ids[0], ids.at(-1)], [51, 250])
})
