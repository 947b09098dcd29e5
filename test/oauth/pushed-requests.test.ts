import { mock } from 'node:test'
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { GatepassError } from '../../src/core/errors.ts'
import { PushedRequests } from '../../src/oauth/pushed-requests.ts'

t.test('a request that the store did not take does not count', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let isDown = true
  const putOneTime = async () => {
    if (isDown) throw new GatepassError('store_unavailable')
  }
  const takeOneTime = async () => ({ state: 'unknown' }) as const
  const pushed = new PushedRequests({ store: { putOneTime, takeOneTime }, clock: systemClock })
  const push = () => pushed.push({}, '192.0.2.1')
  for (let n = 0; n < 1_000; n++) await t.rejects(push(), { code: 'store_unavailable' })
  isDown = false
  for (let n = 0; n < 1_000; n++) await push()
  await t.rejects(push(), { code: 'overloaded', retryAfterSeconds: 90 })
  mock.timers.tick(90_000)
  await t.resolves(push(), 'requests that have expired do not count')
})
