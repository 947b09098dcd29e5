import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { patient } from '../../support/patience.ts'
import { cutOffReplicas, startSentinels, until } from '../../support/redis.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { lateMs } from './lateness.ts'
import { Load } from './load.ts'

const deadlineMs = 1_000

for (const fault of ['kill', 'freeze'] as const) {
  t.test(`the primary that sentinels watch, under load: ${fault}`, async (t) => {
    const { url, primary } = await startSentinels(t)
    const store = await RedisSessionStore.open(url, { deadlineMs })
    t.teardown(() => store.close())
    const load = await Load.start(t, store, Array.from({ length: 50 }, randomId))
    await load.untilAllAnswered()
    await primary[fault]()
    await load.untilAllAnswered()
    // It comes back as a replica of the new one.
    if (fault === 'freeze') primary.thaw()
    await until(() => store.create(session({ sid: randomId() })).then(() => true))
    await load.untilAllAnswered()
    const report = await load.stop()
    t.same(report.wrong, [])
    t.ok(report.slowestMs < deadlineMs + lateMs, `the slowest took ${report.slowestMs} ms`)
    t.ok(report.unavailable > 0)
  })
}

t.test('a fail-over that loses rotations signs nobody out', async (t) => {
  const { url, primary } = await startSentinels(t)
  const store = await RedisSessionStore.open(url, patient)
  t.teardown(() => store.close())
  const one = session({ sid: randomId() })
  const refresh = (generation: number, graces: number) =>
    store.rotate(rotation({ sid: one.sid, generation, nowMs: t0 + graces * policy.graceMs }))
  await store.create(one)
  await refresh(0, 1)
  t.equal(await primary.ask('WAIT', '2', '60000'), 2)
  await cutOffReplicas(primary)
  await refresh(1, 2)
  t.equal((await refresh(2, 3)).session?.generation, 3)
  await primary.kill()
  await until(async () => (await store.find(one.sid, t0))?.generation === 1)
  t.match(await refresh(3, 4), { outcome: 'replayed', session: { generation: 3 } })
  t.match(await refresh(3, 5), { outcome: 'rotated', session: { generation: 4 } })
})
