import assert from 'node:assert/strict'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { Breaker } from '../../src/stores/circuit-breaker.ts'
import { FakeClock } from '../support/clock.ts'
import fc from '../support/properties.ts'

const limits = { failuresMax: 3, firstOpenMs: 1_000, openMsMax: 5_000 }
const outage = new Error('outage')
const answer = new Error('an answer that is no use')

function start() {
  const clock = new FakeClock()
  const isFailure = (error: unknown) => error === outage
  return { clock, breaker: new Breaker({ ...limits, clock, isFailure }) }
}

/** Calls through the breaker; gives `refused` and when to try again if it did not go through. */
async function call(breaker: Breaker, outcome: 'ok' | Error): Promise<string> {
  let wentThrough = false
  try {
    return await breaker.run(async () => {
      wentThrough = true
      if (outcome !== 'ok') throw outcome
      return 'ok'
    })
  } catch (error) {
    if (wentThrough) return error === outage ? 'outage' : 'answer'
    if (!isGatepassError(error, 'store_unavailable')) throw error
    return `refused ${error.retryAfter_s}`
  }
}

t.test('opens after failures in a row, and then for longer and longer', async (t) => {
  const { clock, breaker } = start()
  for (let n = 0; n < 3; n++) t.equal(await call(breaker, outage), 'outage')
  for (const openMs of [1_000, 2_000, 4_000, 5_000, 5_000]) {
    t.equal(await call(breaker, 'ok'), `refused ${openMs / 1000}`)
    clock.advanceMs(openMs - 1)
    t.equal(await call(breaker, 'ok'), 'refused 1')
    clock.advanceMs(1)
    t.equal(await call(breaker, outage), 'outage', `the probe after ${openMs} ms`)
  }
  clock.advanceMs(5_000)
  t.equal(await call(breaker, 'ok'), 'ok')
  t.equal(await call(breaker, outage), 'outage', 'closed again')
})

t.test('failures that are not in a row do not open it', async (t) => {
  const { breaker } = start()
  for (let n = 0; n < 20; n++) {
    await call(breaker, outage)
    await call(breaker, outage)
    t.equal(await call(breaker, n % 2 === 0 ? 'ok' : answer), n % 2 === 0 ? 'ok' : 'answer')
  }
})

t.test('an error that is an answer closes it, too', async (t) => {
  const { clock, breaker } = start()
  for (let n = 0; n < 3; n++) await call(breaker, outage)
  clock.advanceMs(1_000)
  t.equal(await call(breaker, answer), 'answer')
  t.equal(await call(breaker, 'ok'), 'ok')
})

t.test('a clock that is set back does not keep it open', async (t) => {
  const { clock, breaker } = start()
  for (let n = 0; n < 3; n++) await call(breaker, outage)
  clock.advanceMs(-3_600_000)
  t.equal(await call(breaker, 'ok'), 'ok')
})

/** Calls that overlap. */
class Calls {
  outages = 0
  readonly #breaker: Breaker
  readonly #running: ((outcome: 'ok' | Error) => Promise<unknown>)[] = []

  constructor(breaker: Breaker) {
    this.#breaker = breaker
  }

  /** Whether a new call goes through. */
  begin(): boolean {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    let goesThrough = false
    const ended = this.#breaker
      .run(() => {
        goesThrough = true
        return promise
      })
      .catch(() => {})
    if (!goesThrough) return false
    this.#running.push((outcome) => {
      if (outcome === 'ok') resolve(outcome)
      else reject(outcome)
      return ended
    })
    return true
  }

  /** Ends the call that runs longest, if there is one. */
  async end(outcome: 'ok' | Error): Promise<void> {
    const end = this.#running.shift()
    if (end === undefined) return
    if (outcome === outage) this.outages += 1
    await end(outcome)
  }

  async endAll(outcome: 'ok' | Error): Promise<void> {
    while (this.#running.length > 0) await this.end(outcome)
  }
}

t.test('however calls overlap, it opens for a reason, probes once and recovers', async () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 2, arbitrary: fc.constant('begin' as const) },
      { weight: 3, arbitrary: fc.constantFrom('ok' as const, outage, outage, answer) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 6_000 }) },
    ),
    { maxLength: 60 },
  )
  await fc.assert(
    fc.asyncProperty(steps, async (steps) => {
      const { clock, breaker } = start()
      const calls = new Calls(breaker)
      for (const step of steps) {
        if (typeof step === 'number') clock.advanceMs(step)
        else if (step !== 'begin') await calls.end(step)
        else if (!calls.begin()) assert.ok(calls.outages >= limits.failuresMax, 'for a reason')
      }
      // Three outages open it if it is closed, and the last one if it was probing.
      await calls.endAll(outage)
      for (let n = 0; n < limits.failuresMax && calls.begin(); n++) await calls.end(outage)
      assert.ok(!calls.begin(), 'open')
      clock.advanceMs(limits.openMsMax)
      assert.ok(calls.begin(), 'a probe')
      assert.ok(!calls.begin(), 'and no other')
      await calls.end('ok')
      assert.ok(calls.begin() && calls.begin(), 'closed')
    }),
  )
})
