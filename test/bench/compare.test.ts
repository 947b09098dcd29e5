import t from 'tap'
import { byRate, compare } from '../../bench/old/harness/compare.ts'
import type { Series } from '../../bench/old/harness/rounds.ts'

function series(subject: string, values: readonly number[]): Series {
  return { subject, readings: values.map((per_second) => ({ per_second })) }
}

// The whole machine was slow in the second round.
const measured = [series('ours', [90, 44, 95]), series('limit', [100, 50, 100])]

t.test('a share is taken within each round', async (t) => {
  const { value } = compare({ subject: 'ours', metric: 'per_second', limit: 'limit' }, measured)
  t.same(value, { median: 0.9, min: 0.88, max: 0.95 })
})

t.test('the median is judged by the target, in the direction that the target has', async (t) => {
  const own = { subject: 'ours', metric: 'per_second' } as const
  const judge = (target: { atLeast: number } | { under: number }) =>
    compare({ ...own, target }, measured).verdict
  t.equal(judge({ atLeast: 90 }), 'met')
  t.equal(judge({ atLeast: 91 }), 'missed')
  t.equal(judge({ under: 91 }), 'met')
  t.equal(judge({ under: 90 }), 'missed')
  t.equal(compare(own, measured).verdict, null)
})

t.test('what was not measured cannot be compared', async (t) => {
  t.throws(() => compare({ subject: 'none', metric: 'per_second' }, measured), /no subject none/)
  t.throws(() => compare({ subject: 'ours', metric: 'ready_ms' }, measured), /ours has no ready_ms/)
})

t.test('rates are compared by the clock and by processor time', async (t) => {
  t.same(byRate({ subject: 'ours', limit: 'limit' }), [
    { subject: 'ours', limit: 'limit', metric: 'per_second' },
    { subject: 'ours', limit: 'limit', metric: 'per_core_second' },
  ])
})

t.test('there is no verdict by the clock when the limit was held up', async (t) => {
  const busy = (subject: string, server_busy: number): Series => ({
    subject,
    readings: [{ per_second: 1, per_core_second: 1, server_busy }],
  })
  const verdicts = (...busyShares: [ours: number, limit: number]) =>
    byRate({ subject: 'ours', limit: 'limit', target: { atLeast: 0.9 } }).map(
      (one) => compare(one, [busy('ours', busyShares[0]), busy('limit', busyShares[1])]).verdict,
    )
  t.same(verdicts(0.5, 0.5), ['unclear', 'met'])
  t.same(verdicts(0.5, 1), ['met', 'met'], 'a server that waits is slow')
})
