import t from 'tap'
import { placeInRows } from '../../bench/old/report/charts/event-chart.ts'
import {
  clockTime,
  decades,
  duration,
  linearScale,
  logScale,
  niceTicks,
  shortNumber,
  timeTicks,
} from '../../bench/old/report/charts/scale.ts'
import { timeChart } from '../../bench/old/report/charts/time-chart.ts'
import fc from '../support/properties.ts'

const range = { from: 200, to: 0 }

t.test('a scale puts the ends of what it shows at the ends of the room', async (t) => {
  const linear = linearScale({ from: 0, to: 50 }, range)
  t.same([0, 25, 50].map(linear), [200, 100, 0])
  t.equal(linearScale({ from: 3, to: 3 }, range)(3), 200, 'of nothing but one value')
  const log = logScale({ from: 1, to: 100 }, range)
  t.same([1, 10, 100].map(log), [200, 100, 0])
  t.equal(log(0), 200, 'a logarithm knows no zero')
})

t.test('round values reach from zero to the highest, whatever that is', async (t) => {
  t.same(niceTicks(400), [0, 100, 200, 300, 400])
  t.same(niceTicks(0.7), [0, 0.2, 0.4, 0.6, 0.8])
  t.same(niceTicks(0), [0, 1])
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e9, noNaN: true }), (max) => {
      const ticks = niceTicks(max)
      const last = ticks.at(-1) ?? 0
      return ticks[0] === 0 && last >= max * (1 - 1e-9) && last <= max * 2 && ticks.length <= 6
    }),
  )
})

t.test('powers of ten enclose what is shown', async (t) => {
  t.same(decades(2, 300), [1, 10, 100, 1000])
  t.same(decades(10, 10), [10, 100])
  t.same(decades(0.04, 0.2), [0.01, 0.1, 1])
})

t.test('figures on an axis are short', async (t) => {
  t.same([0, 950, 1200, 12_000, 3_400_000, 2e9].map(shortNumber), [
    ...['0', '950', '1.2k', '12k', '3.4M', '2G'],
  ])
  t.same([0.5, 18.3, 950, 1240, 12_000].map(duration), [
    ...['0.5 ms', '18 ms', '950 ms', '1.2 s', '12 s'],
  ])
  t.same([0, 59.7, 90, 3600].map(clockTime), ['0:00', '1:00', '1:30', '60:00'])
  t.same(timeTicks(150), [0, 30, 60, 90, 120, 150])
  t.same(timeTicks(7), [0, 1, 2, 3, 4, 5, 6, 7])
})

t.test('the labels of events never cover one another', async () => {
  const event = fc.record({
    at_s: fc.integer({ min: 0, max: 300 }),
    label: fc.string({ minLength: 1, maxLength: 40 }),
  })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const placed = placeInRows(events, (at_s) => 64 + at_s * 2.9, 944)
      const spans = placed.map(({ x, label, row, isBefore }) => {
        const width = label.length * 6.6
        return { row, from: isBefore ? x - width : x, to: isBefore ? x : x + width }
      })
      return spans.every((one, n) =>
        spans.slice(n + 1).every((other) => {
          return one.row !== other.row || one.to <= other.from || other.to <= one.from
        }),
      )
    }),
  )
})

t.test('a line breaks where there is no value', async (t) => {
  const points = [1, 2, null, 4, 5].map((value, at_s) => ({ at_s, value }))
  const { text } = timeChart({
    ...{ title: 'Latency', description: 'of nothing', until_s: 4, bands: [], marks_s: [2] },
    series: [{ name: 'p50', className: 'middle', shape: 'line', points }],
    format: String,
  })
  t.equal(text.match(/<path class="line middle"/g)?.length, 2)
  t.notMatch(text, 'NaN')
  t.match(text, /<title>Latency<\/title><desc>of nothing<\/desc>/)
})
