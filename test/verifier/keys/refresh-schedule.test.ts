import t from 'tap'
import { ResponseError, readRetryAfterMs } from '../../../src/verifier/http-client.ts'
import { RefreshSchedule } from '../../../src/verifier/keys/refresh-schedule.ts'
import { FakeClock } from '../../support/clock.ts'
import fc from '../../support/properties.ts'
import { now_s } from '../../support/tokens.ts'

function open(random = 1): {
  schedule: RefreshSchedule
  clock: FakeClock
  waitMs: () => number
} {
  const clock = new FakeClock(now_s * 1000)
  const schedule = new RefreshSchedule(clock, () => random)
  return { schedule, clock, waitMs: () => schedule.nextMs - clock.nowMs() }
}

const failure = new Error('the issuer does not answer')

function refusal(retryAfter: string | null, clock: FakeClock): Error {
  return new ResponseError('the answer has status 503', readRetryAfterMs(retryAfter, clock))
}

t.test('a set is fetched again when 60 to 80 % of its freshness have passed', async (t) => {
  for (const [random, part] of [
    [0, 0.6],
    [0.5, 0.7],
    [1, 0.8],
  ] as const) {
    const { schedule, waitMs } = open(random)
    schedule.succeeded(300)
    t.equal(waitMs(), Math.round(300_000 * part))
  }
})

t.test('after failures the wait doubles, up to 5 s without keys and 30 s with keys', async (t) => {
  const waits = (hasKeys: boolean, random: number) => {
    const { schedule, waitMs } = open(random)
    return Array.from({ length: 10 }, () => {
      schedule.failed(hasKeys, failure)
      return waitMs()
    })
  }
  const doubling = [200, 400, 800, 1600, 3200]
  t.same(waits(false, 1), [...doubling, 5000, 5000, 5000, 5000, 5000])
  t.same(waits(true, 1), [...doubling, 6400, 12_800, 25_600, 30_000, 30_000])
  t.same(
    waits(true, 0),
    waits(true, 1).map((wait) => wait / 2),
  )
})

t.test('a success ends the doubling', async (t) => {
  const { schedule, waitMs } = open()
  for (let times = 0; times < 2000; times += 1) schedule.failed(true, failure)
  t.equal(waitMs(), 30_000)
  schedule.succeeded(300)
  schedule.failed(true, failure)
  t.equal(waitMs(), 200)
})

t.test('Retry-After delays the next fetch, by a minute at most', async (t) => {
  const date = (inMs: number) => new Date(new FakeClock(now_s * 1000).nowMs() + inMs).toUTCString()
  const cases: [string, number][] = [
    ['10', 10_000],
    ['60', 60_000],
    ['999999999', 60_000],
    [date(20_000), 20_000],
    [date(86_400_000), 60_000],
    ['0', 200],
    [date(-20_000), 200],
    ['-5', 200],
    ['soon', 200],
    ['', 200],
  ]
  for (const [retryAfter, expectedMs] of cases) {
    const { schedule, clock, waitMs } = open()
    schedule.failed(true, refusal(retryAfter, clock))
    t.equal(waitMs(), expectedMs, retryAfter)
    t.notOk(schedule.canFetch(clock.nowMs() + expectedMs - 1), 'for unknown kids too')
    t.ok(schedule.canFetch(clock.nowMs() + expectedMs))
  }
})

t.test(
  'a fetch for an unknown kid waits no longer than a cooldown, however long the backoff',
  async (t) => {
    const { schedule, clock } = open()
    for (let times = 0; times < 20; times += 1) schedule.failed(true, failure)
    t.notOk(schedule.canFetch(clock.nowMs() + 4999))
    t.ok(schedule.canFetch(clock.nowMs() + 5000))
    t.notOk(schedule.isDue(clock.nowMs() + 5000))
  },
)

t.test(
  'before the first fetch nothing is due, and a fetch for an unknown kid is allowed',
  async (t) => {
    const { schedule, clock } = open()
    t.notOk(schedule.isDue(clock.nowMs()))
    t.ok(schedule.canFetch(clock.nowMs()))
  },
)

t.test('the next fetch is never immediate, and never later than an hour', async () => {
  const event = fc.oneof(
    fc.record({ freshFor_s: fc.integer({ min: 1, max: 3600 }) }),
    fc.record({ hasKeys: fc.boolean(), retryAfter: fc.option(fc.string()) }),
  )
  fc.assert(
    fc.property(fc.array(event), fc.double({ min: 0, max: 1, noNaN: true }), (events, random) => {
      const { schedule, clock, waitMs } = open(random)
      return events.every((one) => {
        if ('freshFor_s' in one) schedule.succeeded(one.freshFor_s)
        else schedule.failed(one.hasKeys, refusal(one.retryAfter, clock))
        return waitMs() >= 100 && waitMs() <= 3_600_000
      })
    }),
  )
})
