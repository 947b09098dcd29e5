import t from 'tap'
import { FakeClock } from '../support/clock.ts'
import { bearer, startIssuer } from '../support/issuer.ts'

t.test('I11, SQLite: after a jump of the clock no sign-out is acknowledged', async (t) => {
  const boot = new FakeClock(0)
  const issuer = await startIssuer(t, { watchClock: { uptimeMs: () => boot.nowMs() } })
  const { refresh_token, access_token, session_id } = await issuer.signIn()
  const headers = bearer(access_token)
  const logout = { method: 'POST', url: '/logout', body: { refresh_token } } as const
  const logoutAll = { method: 'POST', url: '/logout/all', headers } as const
  const endSession = { method: 'DELETE', url: `/sessions/${session_id}`, headers } as const
  for (const [jumpMs, requests] of [
    // Here a token is not valid yet.
    [-3_600_000, [logout]],
    [60_000, [logout, logoutAll, endSession]],
  ] as const) {
    issuer.clock.advanceMs(jumpMs)
    await issuer.watch?.refresh()
    for (const request of requests) {
      const answer = await issuer.call(request)
      t.match(answer.json(), { status: 503, code: 'clock_skew' }, `${request.url} ${jumpMs}`)
      t.equal(answer.headers['retry-after'], '5')
    }
    t.same(await issuer.sessions.revocationsAfter('', 10), [])
    issuer.clock.advanceMs(-jumpMs)
    await issuer.watch?.refresh()
  }
  t.equal((await issuer.refresh(refresh_token)).statusCode, 200, 'the session goes on')
  t.equal((await issuer.call(logout)).statusCode, 204, 'and ends when the clock is right')
})
