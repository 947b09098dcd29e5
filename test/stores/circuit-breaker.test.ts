import assert from 'node:assert/strict'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { CircuitBreaker, maxFailures } from '../../src/stores/circuit-breaker.ts'
import { FakeClock } from '../support/clock.ts'
import fc from '../support/properties.ts'

const openFor = { minMs: 1_000, maxMs: 5_000 }
const failure = new Error('out of service')
const answer = new Error('an answer')

function start() {
  const clock = new FakeClock()
  const isFailure = (error: unknown) => error === failure
  return { clock, breaker: new CircuitBreaker({ openFor, clock, isFailure }) }
}

type Result = 'ok' | Error

/** Makes a call. Returns its result, or the `Retry-After` of a blocked call. */
async function call(breaker: CircuitBreaker, result: Result): Promise<Result | number> {
  let isBlocked = true
  try {
    return await breaker.run(async () => {
      isBlocked = false
      if (result !== 'ok') throw result
      return 'ok' as const
    })
  } catch (error) {
    if (!isBlocked) return error as Error
    if (!isGatepassError(error, 'store_unavailable')) throw error
    return error.retryAfterSeconds ?? 0
  }
}

async function open(breaker: CircuitBreaker): Promise<void> {
  for (let n = 0; n < maxFailures; n++) await call(breaker, failure)
}

t.test('opens after consecutive failures, for longer after each failed probe', async (t) => {
  const { clock, breaker } = start()
  await open(breaker)
  for (const openMs of [1_000, 2_000, 4_000, 5_000, 5_000]) {
    const retryAfterSeconds = await call(breaker, 'ok')
    t.ok(Number(retryAfterSeconds) <= openMs / 1000, `Retry-After ${retryAfterSeconds}`)
    // The jitter takes up to half of the period.
    clock.advanceMs(openMs / 2 - 1)
    t.equal(await call(breaker, 'ok').then(Number.isInteger), true, 'blocked')
    clock.advanceMs(openMs / 2 + 1)
    t.equal(await call(breaker, failure), failure, `the probe after ${openMs} ms`)
  }
  clock.advanceMs(5_000)
  t.equal(await call(breaker, 'ok'), 'ok')
  t.equal(await call(breaker, failure), failure, 'closed again')
})

t.test('failures that are not consecutive do not open it', async (t) => {
  const { breaker } = start()
  for (let n = 0; n < 20; n++) {
    await call(breaker, failure)
    await call(breaker, failure)
    const between = n % 2 === 0 ? 'ok' : answer
    t.equal(await call(breaker, between), between)
  }
})

t.test('an error that is an answer closes it', async (t) => {
  const { clock, breaker } = start()
  await open(breaker)
  clock.advanceMs(1_000)
  t.equal(await call(breaker, answer), answer)
  t.equal(await call(breaker, 'ok'), 'ok')
})

t.test('a clock that is set back does not keep it open', async (t) => {
  const { clock, breaker } = start()
  await open(breaker)
  clock.advanceMs(-3_600_000)
  t.equal(await call(breaker, 'ok'), 'ok')
})

/** Calls that overlap. */
class Calls {
  failures = 0
  readonly #breaker: CircuitBreaker
  readonly #running: ((result: Result) => Promise<unknown>)[] = []

  constructor(breaker: CircuitBreaker) {
    this.#breaker = breaker
  }

  /** Starts a call. Returns false if it is blocked. */
  start(): boolean {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    let isBlocked = true
    const settled = this.#breaker
      .run(() => {
        isBlocked = false
        return promise
      })
      .catch(() => {})
    if (isBlocked) return false
    this.#running.push((result) => {
      if (result === 'ok') resolve(result)
      else reject(result)
      return settled
    })
    return true
  }

  /** Ends the oldest call, if there is one. */
  async end(result: Result): Promise<void> {
    const end = this.#running.shift()
    if (end === undefined) return
    if (result === failure) this.failures += 1
    await end(result)
  }

  async endAll(result: Result): Promise<void> {
    while (this.#running.length > 0) await this.end(result)
  }
}

t.test('a call that started before the circuit opened does not open it again', async (t) => {
  const { clock, breaker } = start()
  const calls = new Calls(breaker)
  for (let n = 0; n < 2 * maxFailures; n++) calls.start()
  for (let n = 0; n < maxFailures; n++) await calls.end(failure)
  t.notOk(calls.start(), 'open')
  clock.advanceMs(1_000)
  t.equal(await call(breaker, 'ok'), 'ok', 'closed by the probe')
  await calls.endAll(failure)
  t.ok(calls.start())
})

t.test('with any overlap of calls it opens for a reason, probes once and recovers', async () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 2, arbitrary: fc.constant('start' as const) },
      { weight: 3, arbitrary: fc.constantFrom('ok' as const, failure, failure, answer) },
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
        else if (step !== 'start') await calls.end(step)
        else if (!calls.start()) assert.ok(calls.failures >= maxFailures, 'for a reason')
      }
      // Three failures open it if it is closed, and one failure if it is half-open.
      await calls.endAll(failure)
      for (let n = 0; n < maxFailures && calls.start(); n++) await calls.end(failure)
      assert.ok(!calls.start(), 'open')
      clock.advanceMs(openFor.maxMs)
      assert.ok(calls.start(), 'a probe')
      assert.ok(!calls.start(), 'and no other')
      await calls.end('ok')
      assert.ok(calls.start() && calls.start(), 'closed')
    }),
  )
})
