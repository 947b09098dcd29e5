import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisDataStore } from '../../../src/stores/redis/data-store.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { demandReplicas, startSentinels, until, untilInfo } from '../../support/redis.ts'
import { policy, session, t0 } from '../../support/sessions.ts'
import { fieldsOf, newOwner, write } from '../data-store-contract.ts'

/** So often in a row, and it goes on for good. */
const timesInARow = 20

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
    const [owner, sid] = [newOwner(), randomId()]

    /** Whether what both have acknowledged is seen. */
    const isSeen = async () => {
      const one = write({ owner })
      await data.write(one)
      await sessions.create(session({ sid }))
      const fields = await data.read(owner, 'all', t0)
      await sessions.revoke(sid, t0, policy.revokedKeptMs)
      const isLive = (await sessions.find(sid, t0)) !== null
      return isDeepStrictEqual(fields, fieldsOf(one)) && !isLive
    }

    await failOver()
    await untilInfo(primary, 'INFO', 'connected_slaves:0')
    let [inARow, unseen] = [0, 0]
    await until(async () => {
      const outcome = await isSeen().catch((error: unknown) => {
        t.match(error, { code: 'store_unavailable' })
        return null
      })
      if (outcome === false) unseen += 1
      inARow = outcome ? inARow + 1 : 0
      return inARow === timesInARow
    })
    t.match(String(await primary.ask('ROLE')), /^master/, 'before it has heard')
    t.equal(unseen, 0, 'what was acknowledged is seen')
  })
}
