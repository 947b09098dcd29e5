import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisDataStore } from '../../../src/stores/redis/data.ts'
import { RedisSessionStore } from '../../../src/stores/redis/sessions.ts'
import { demandReplicas, startSentinels } from '../../support/redis.ts'
import { policy, session, t0 } from '../../support/sessions.ts'
import { fieldsOf, newOwner, write } from '../data-store-contract.ts'

/** How long it takes at most to go on, and how long until a former primary hears of it. */
const awayMsMax = 6_000
const unawareMs = 9_000

for (const [name, demands] of [
  ['must have replicas', true],
  ['need have none', false],
] as const) {
  t.test(`a former primary that has not heard of it, and ${name}, is left`, async (t) => {
    const { url, primary, replicas, failOver } = await startSentinels(t)
    if (demands) await demandReplicas([primary, ...replicas])
    const data = await RedisDataStore.open(url, { replicas: 1 })
    const sessions = await RedisSessionStore.open(url, { replicas: 1 })
    t.teardown(() => Promise.all([data.close(), sessions.close()]))
    await failOver()
    const startMs = performance.now()
    let failedAtMs = startMs
    const [owner, sid] = [newOwner(), randomId()]
    /** Whether both answer, and what is changed is seen. */
    const works = async () => {
      const one = write({ owner })
      await data.write(one)
      await sessions.create(session({ sid }))
      const fields = await data.read(owner, 'all', t0)
      await sessions.revoke(sid, t0, policy.revokedKeptMs)
      const isLive = (await sessions.find(sid, t0)) !== null
      return isDeepStrictEqual(fields, fieldsOf(one)) && !isLive
    }
    while (performance.now() - startMs < unawareMs) {
      const worked = await works().catch((error: unknown) => {
        t.match(error, { code: 'store_unavailable' })
        return false
      })
      if (!worked) failedAtMs = performance.now()
      await sleep(50)
    }
    const awayMs = failedAtMs - startMs
    t.comment(`the last failure was after ${awayMs} ms`)
    t.ok(awayMs < awayMsMax)
  })
}
