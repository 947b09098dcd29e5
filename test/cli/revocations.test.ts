import t, { type Test } from 'tap'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { audience, bearer, claimsWith, issuer, makeKey, mint } from '../support/tokens.ts'
import { until } from '../support/until.ts'
import { JwksServer, serve } from '../verifier/jwks-server.ts'
import { FeedServer } from '../verifier/revocations/feed-server.ts'

const key = makeKey('ES256')

/** A verifier service whose feed the test writes. */
async function startVerifier(t: Test, settings: Record<string, string>) {
  const feed = await FeedServer.open(t, key)
  const keys = await JwksServer.open(t, serve([key]))
  feed.readAt_s = Math.floor(Date.now() / 1000)
  const verifier = TestProcess.start(t, ['verifier'], {
    cwd: createTestFolder(t),
    env: {
      ...serviceEnv,
      GATEPASS_ISSUER: issuer,
      GATEPASS_AUDIENCE: audience,
      GATEPASS_JWKS_URL: `${keys.issuer}/jwks`,
      GATEPASS_REVOCATIONS_URL: feed.uri,
      GATEPASS_REVOCATIONS_POLL_S: '1',
      ...settings,
    },
  })
  const { url, adminUrl } = await verifier.ready()
  const now_s = Math.floor(Date.now() / 1000)
  const payload = claimsWith({ iat: now_s, exp: now_s + 300 })
  await untilStatus(`${adminUrl}/readyz`, 200)
  return {
    feed,
    verifier,
    now_s,
    verify: () => fetch(`${url}/verify`, { headers: bearer(mint(key, { payload })) }),
    metrics: async () => (await fetch(`${adminUrl}/metrics`)).text(),
    readyStatus: async () => (await fetch(`${adminUrl}/readyz`)).status,
  }
}

t.test('the service follows the stream and has metrics of it', async (t) => {
  const { feed, now_s, verify, metrics, readyStatus } = await startVerifier(t, {})
  await until('it streams', async () =>
    (await metrics()).includes('gatepass_revocations_state{state="streaming"} 1'),
  )
  t.equal((await verify()).status, 200)
  await feed.add('session', 'session-1', now_s)
  await until('it is refused', async () => (await verify()).status === 401)
  const text = await metrics()
  t.match(text, /^gatepass_revocations_entries 1$/m)
  t.match(text, /^gatepass_revocations_coarsened_total 0$/m)
  t.match(text, /^# TYPE gatepass_revocations_coarsened_total counter$/m)
  t.match(text, /^gatepass_revocations_lag_seconds \d/m)
  await feed.close()
  await until('it is down', async () =>
    (await metrics()).includes('gatepass_revocations_state{state="down"} 1'),
  )
  t.equal(await readyStatus(), 200, 'a verifier without news is better than none')
})

t.test('the settings select polling or no revocations', async (t) => {
  const polling = await startVerifier(t, { GATEPASS_REVOCATIONS: 'poll' })
  await polling.feed.add('session', 'session-1', polling.now_s)
  await until('it is refused', async () => (await polling.verify()).status === 401)
  await until('polls are as frequent as the settings say', async () => {
    const count = polling.feed.snapshots
    await until('the next poll', () => polling.feed.snapshots > count)
    const sinceMs = performance.now()
    await until('the poll after it', () => polling.feed.snapshots > count + 1)
    // By default it would be 2.5 seconds or more.
    return performance.now() - sinceMs < 2_000
  })
  t.same(polling.feed.streamsFrom, [])
  t.match(await polling.metrics(), /gatepass_revocations_state\{state="polling"\} 1/)

  const off = await startVerifier(t, { GATEPASS_REVOCATIONS: 'off' })
  t.equal((await off.verify()).status, 200)
  t.equal(off.feed.snapshots, 0)
  t.notMatch(await off.metrics(), /gatepass_revocations/)
})

t.test('with a limit on staleness, an old list means 503, and the log says why once', async (t) => {
  const { feed, verifier, verify, readyStatus } = await startVerifier(t, {
    GATEPASS_REVOCATIONS_MAX_STALENESS_S: '10',
  })
  await until('it is current', async () => (await verify()).status === 200)
  await feed.close()
  await until('it is too old', async () => (await verify()).status === 503)
  const refused = await verify()
  t.match(await refused.json(), { code: 'revocations_stale' })
  t.ok(refused.headers.get('retry-after'))
  t.equal(await readyStatus(), 200)
  const line = await verifier.line(/"msg":"revocations cannot be updated/)
  t.match(JSON.parse(line), { level: 'warn', reason: /ECONNREFUSED/ })
  t.notMatch(verifier.stdout, /revocations_stale/, 'no line for each request')
})

t.test('contradictory settings prevent startup', async (t) => {
  for (const settings of [{ GATEPASS_REVOCATIONS: 'off' }, { GATEPASS_REVOCATIONS_POLL_S: '60' }]) {
    const verifier = TestProcess.start(t, ['verifier'], {
      cwd: createTestFolder(t),
      env: { GATEPASS_REVOCATIONS_MAX_STALENESS_S: '30', ...settings },
    })
    t.not(await verifier.exited, 0)
    t.match(verifier.stderr, 'GATEPASS_REVOCATIONS_MAX_STALENESS_S')
  }
})
