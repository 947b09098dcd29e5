import t from 'tap'
import { median, percentile, summarize } from '../../bench/old/harness/statistics.ts'

t.test('the median is the middle value, or the mean of the two in the middle', async (t) => {
  t.equal(median([9]), 9)
  t.equal(median([10, 9, 1]), 9)
  t.equal(median([4, 1, 3, 100]), 3.5)
  t.throws(() => median([]), RangeError)
})

t.test('the values stay in the order they came in', async (t) => {
  const values = [3, 1, 2]
  median(values)
  t.same(values, [3, 1, 2])
})

t.test('a summary holds the middle and both ends', async (t) => {
  t.same(summarize([5, 1, 9]), { median: 5, min: 1, max: 9 })
})

t.test('a percentile is one of the values (nearest rank)', async (t) => {
  const hundred = Float64Array.from({ length: 100 }, (_, index) => index + 1)
  t.equal(percentile(hundred, 0.5), 50)
  t.equal(percentile(hundred, 0.99), 99)
  t.equal(percentile(hundred, 1), 100)
  t.equal(percentile([7], 0.99), 7)
  t.throws(() => percentile([], 0.5), RangeError)
})
