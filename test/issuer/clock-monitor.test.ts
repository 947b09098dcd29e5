import { isDeepStrictEqual } from 'node:util'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/secrets.ts'
import { buildAdminApp, checkReadiness } from '../../src/http/admin-app.ts'
import { Metrics, observeClock } from '../../src/http/metrics.ts'
import { ClockMonitor, type ClockMonitorOptions } from '../../src/issuer/clock-monitor.ts'
import type { SessionStore } from '../../src/stores/ports.ts'
import { PostgresSessionStore } from '../../src/stores/postgres/session-store.ts'
import { RedisSessionStore } from '../../src/stores/redis/session-store.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { FakeClock } from '../support/clock.ts'
import { patient } from '../support/patience.ts'
import { PostgresServer } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { policy, rotation, session, t0 } from '../support/sessions.ts'
import { until } from '../support/until.ts'

const skewMs = 5_000
const keptMs = 305_000

/** A monitor, and what the admin port says of it after another poll. */
async function monitored(
  t: Test,
  options: Pick<ClockMonitorOptions, 'sessions' | 'clock' | 'uptimeMs'>,
) {
  return pollOf(t, await ClockMonitor.open({ ...options, skewMs, keptMs }))
}

function pollOf(t: Test, monitor: ClockMonitor) {
  const metrics = new Metrics()
  observeClock(metrics.registry, () => monitor.offsetMs)
  const admin = buildAdminApp({
    hosts: [],
    logger: pino({ level: 'silent' }),
    readiness: () => checkReadiness({ clock: () => monitor.check() }),
    metrics: () => metrics.registry.metrics(),
  })
  t.teardown(async () => {
    metrics.registry.clear()
    await Promise.all([admin.close(), monitor.close()])
  })
  return async () => {
    await monitor.refresh()
    const { statusCode, body } = await admin.inject('/readyz')
    const { payload } = await admin.inject('/metrics')
    const [, offset_s] = payload.match(/^gatepass_clock_offset_seconds (\S+)$/m) ?? []
    return { status: statusCode, clock: JSON.parse(body).checks.clock, offset_s: Number(offset_s) }
  }
}

const right = { status: 200, clock: 'ok' }
const wrong = { status: 503, clock: 'clock_skew' }

const postgres = await PostgresServer.start(t)
const redis = await startRedis(t)
const shared: Record<string, () => Promise<SessionStore>> = {
  Postgres: async () => PostgresSessionStore.open(await postgres.createDatabase(), patient),
  Redis: async () => RedisSessionStore.open(redis.url, patient),
}

for (const [name, open] of Object.entries(shared)) {
  t.test(
    `I11, ${name}: a clock further off than the skew is told, until it is right`,
    async (t) => {
      const sessions = await open()
      t.teardown(() => sessions.close())
      let errorMs = 0
      const poll = await monitored(t, { sessions, clock: { nowMs: () => Date.now() + errorMs } })
      for (const sign of [1, -1]) {
        for (const [ms, expected] of [
          [0, right],
          [skewMs - 1_000, right],
          [skewMs + 2_000, wrong],
          [86_400_000, wrong],
          [0, right],
        ] as const) {
          errorMs = sign * ms
          // A comparison is as exact as the store is quick, and a loaded machine is not always.
          await until(`${errorMs} ms ahead`, async () => {
            const { offset_s, ...seen } = await poll()
            const isNear = Math.abs(offset_s - errorMs / 1000) < 1
            return isNear && isDeepStrictEqual(seen, expected)
          })
        }
      }
    },
  )

  t.test(`I11, ${name}: within the skew a client can switch replicas`, async (t) => {
    const sessions = await open()
    t.teardown(() => sessions.close())
    const { sid } = session({ sid: randomId() })
    const ahead = (atMs: number) => atMs + skewMs
    const behind = (atMs: number) => atMs
    await sessions.create(session({ sid, createdAtMs: ahead(t0), mintedAtMs: ahead(t0) }))
    const refresh = async (generation: number, nowMs: number) =>
      (await sessions.rotate(rotation({ sid, generation, nowMs }))).outcome

    t.ok(await sessions.find(sid, behind(t0)), 'what the one has made is there for the other')
    t.equal(await refresh(0, behind(t0)), 'replayed')
    const one = t0 + policy.graceMs
    t.equal(await refresh(0, ahead(one)), 'rotated')
    t.equal(await refresh(0, behind(one)), 'replayed', 'a second tab')
    const two = one + policy.graceMs + skewMs
    t.equal(await refresh(1, behind(two)), 'rotated')
    t.equal(await refresh(1, ahead(two + policy.graceMs - skewMs - 1)), 'replayed', 'a late copy')
    t.ok(await sessions.revoke(sid, ahead(two), policy.revokedKeptMs))
    t.equal(await refresh(2, behind(two)), 'revoked')
  })
}

for (const [name, open] of Object.entries(shared)) {
  t.test(`${name}: a sign-out needs a clock that is not ahead`, async (t) => {
    const sessions = await open()
    t.teardown(() => sessions.close())
    let errorMs = 0
    const clock = { nowMs: () => Date.now() + errorMs }
    const monitor = await ClockMonitor.open({ sessions, clock, skewMs, keptMs })
    t.teardown(() => monitor.close())
    const hourMs = 3_600_000
    const isExact = () => Math.abs(monitor.expiryClock.nowMs() - Date.now()) < 2_000
    // A comparison is as exact as the store is quick, and a loaded machine is not always.
    const untilExact = () =>
      until('the time is exact', async () => {
        if (isExact()) return true
        await monitor.refresh()
        return false
      })
    await untilExact()
    t.ok(Number.isInteger(monitor.expiryClock.nowMs()), 'as Postgres has them')
    for (const ms of [skewMs - 1_000, -hourMs]) {
      errorMs = ms
      await monitor.refresh()
      await t.resolves(monitor.checkSignOut(), `${ms} ms ahead`)
    }
    t.ok(monitor.expiryClock.nowMs() <= Date.now() - hourMs, 'the earlier time')
    await until('the time is known without another poll', async () => {
      errorMs = -hourMs
      await monitor.refresh()
      errorMs = hourMs
      return isExact()
    })
    await t.rejects(monitor.checkSignOut(), { code: 'clock_skew', retryAfterSeconds: 5 })
    await untilExact()
  })
}

/** On one machine: its clock, and the time since its boot. */
async function onOneMachine(t: Test) {
  const sessions = new SqliteSessionStore(':memory:')
  t.teardown(() => sessions.close())
  const clock = new FakeClock()
  const boot = new FakeClock(0)
  const uptimeMs = () => boot.nowMs()
  const monitor = await ClockMonitor.open({ sessions, clock, uptimeMs, skewMs, keptMs })
  const poll = pollOf(t, monitor)
  const pass = (ms: number) => {
    clock.advanceMs(ms)
    boot.advanceMs(ms)
  }
  return { clock, monitor, pass, poll }
}

t.test('I11, SQLite: a clock jump is reported until the clock is set back', async (t) => {
  const { clock, pass, poll } = await onOneMachine(t)
  pass(8 * 3_600_000)
  t.same(await poll(), { ...right, offset_s: 0 }, 'time that has passed, asleep too, is none')
  for (const sign of [1, -1]) {
    clock.advanceMs(sign * skewMs)
    t.same(await poll(), { ...right, offset_s: (sign * skewMs) / 1000 })
    clock.advanceMs(sign * 1)
    t.match(await poll(), wrong)
    clock.advanceMs(-sign * (skewMs + 1))
    t.same(await poll(), { ...right, offset_s: 0 })
  }
  for (let steps = 0; steps < 7; steps += 1) {
    clock.advanceMs(1_000)
    pass(keptMs)
    t.match(await poll(), right, 'small steps do not add up')
  }
  for (const expected of [right, wrong]) {
    pass(keptMs / 10)
    clock.advanceMs(skewMs - 1_000)
    t.match(await poll(), expected, 'unless they follow each other soon')
  }
})

t.test('I11, SQLite: a new time that lasts is accepted in the end', async (t) => {
  const { clock, monitor, pass, poll } = await onOneMachine(t)
  clock.advanceMs(-3_600_000)
  t.match(await poll(), wrong)
  t.equal(monitor.expiryClock.nowMs(), clock.nowMs(), 'nothing expires too soon')
  pass(keptMs - 1)
  t.match(await poll(), wrong)
  clock.advanceMs(-60_000)
  pass(1)
  t.match(await poll(), wrong, 'another jump begins anew')
  pass(keptMs)
  t.same(await poll(), { ...right, offset_s: 0 })
  const acceptedMs = clock.nowMs()
  clock.advanceMs(3_660_000)
  t.equal(monitor.expiryClock.nowMs(), acceptedMs, 'known without a poll')
  t.match(await poll(), wrong, 'from there on a jump is one in either direction')
  t.equal(monitor.expiryClock.nowMs(), acceptedMs)
  pass(keptMs)
  t.match(await poll(), right)
  t.equal(monitor.expiryClock.nowMs(), clock.nowMs(), 'entries expire by the new time')
})

t.test('a slow answer of the store makes no clock wrong', async (t) => {
  const tripMs = 20_000
  const clock = new FakeClock(t0)
  let monotonicMs = 0
  t.capture(performance, 'now', () => monotonicMs)
  /** The store reads its clock at one end of the round trip. */
  const measure = async (readAfterMs: number, errorMs: number) => {
    clock.timeMs = t0 + errorMs
    const clockMs = async () => {
      const storeMs = clock.nowMs() - errorMs + readAfterMs
      clock.advanceMs(tripMs)
      monotonicMs += tripMs
      return storeMs
    }
    const monitor = await ClockMonitor.open({ sessions: { clockMs }, clock, skewMs, keptMs })
    t.teardown(() => monitor.close())
    return monitor
  }
  for (const [readAfterMs, errorMs] of [
    [0, 0],
    [0, skewMs],
    [tripMs, 0],
    [tripMs, -skewMs],
  ] as const) {
    const monitor = await measure(readAfterMs, errorMs)
    await t.resolves(monitor.check())
  }
  const ahead = await measure(0, skewMs + 1)
  await t.rejects(ahead.check(), { code: 'clock_skew' })
  const behind = await measure(tripMs, -skewMs - 1)
  await t.rejects(behind.check(), { code: 'clock_skew' })
  await t.resolves(behind.checkSignOut(), 'the store dates its revocations')
})

t.test('a failed comparison is reported as its cause', async (t) => {
  let error: Error | null = new GatepassError('store_unavailable')
  const clockMs = async () => {
    if (error !== null) throw error
    return Date.now()
  }
  const poll = await monitored(t, { sessions: { clockMs }, clock: { nowMs: () => Date.now() } })
  t.same(await poll(), { status: 503, clock: 'store_unavailable', offset_s: Number.NaN })
  error = null
  t.match(await poll(), right)
})

t.test('a check whose result is bad compares the clocks again', async (t) => {
  let error: Error | null = new GatepassError('store_unavailable')
  let errorMs = 0
  const clockMs = async () => {
    if (error !== null) throw error
    return Date.now()
  }
  const clock = { nowMs: () => Date.now() + errorMs }
  const monitor = await ClockMonitor.open({ sessions: { clockMs }, clock, skewMs, keptMs })
  t.teardown(() => monitor.close())
  await t.rejects(monitor.check(), { code: 'store_unavailable' })
  error = null
  errorMs = 2 * skewMs
  await t.rejects(monitor.check(), { code: 'clock_skew' }, 'the store is back')
  errorMs = 0
  await t.resolves(monitor.check(), 'the clock is right')
})
