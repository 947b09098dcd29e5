import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { startCluster, until } from '../../support/redis.ts'
import { session } from '../../support/sessions.ts'
import { lateMs } from './lateness.ts'
import { Load } from './load.ts'

const deadlineMs = 1_000

for (const fault of ['kill', 'freeze'] as const) {
  t.test(`a primary of a Cluster, under load: ${fault}`, async (t) => {
    const { url, nodes } = await startCluster(t, { replicas: 1, nodeTimeoutMs: 2_000 })
    const [primary] = nodes
    const store = await RedisSessionStore.open(url, { deadlineMs })
    t.teardown(() => store.close())
    const load = await Load.start(t, store, Array.from({ length: 50 }, randomId))
    await load.untilAllAnswered()
    await primary?.[fault]()
    await load.untilAllAnswered()
    // It comes back as a replica of the new one.
    if (fault === 'freeze') primary?.thaw()
    await until(() => store.create(session({ sid: randomId() })).then(() => true))
    await load.untilAllAnswered()
    const report = await load.stop()
    t.same(report.wrong, [])
    t.ok(report.slowestMs < deadlineMs + lateMs, `the slowest took ${report.slowestMs} ms`)
    t.ok(report.unavailable > 0)
  })
}
