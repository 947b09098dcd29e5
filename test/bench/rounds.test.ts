import t from 'tap'
import { runRounds } from '../../bench/old/harness/rounds.ts'
import type { Subject } from '../../bench/old/harness/scenario.ts'

function counting(name: string, calls: string[]): Subject {
  let times = 0
  return {
    name,
    async measure() {
      calls.push(name)
      times += 1
      return { per_second: times }
    },
  }
}

t.test('subjects take turns, the other way round every other round', async (t) => {
  const calls: string[] = []
  const subjects = ['a', 'b', 'c'].map((name) => counting(name, calls))
  const told: string[] = []
  const series = await runRounds(subjects, 3, (round, subject) => told.push(`${round} ${subject}`))
  t.same(calls.join(' '), 'a b c c b a a b c')
  t.same(told.slice(0, 4), ['1 a', '1 b', '1 c', '2 c'])
  t.same(
    series.map(({ subject }) => subject),
    ['a', 'b', 'c'],
  )
  t.same(series[2]?.readings, [{ per_second: 1 }, { per_second: 2 }, { per_second: 3 }])
})

t.test('a measurement that fails ends the run', async (t) => {
  const broken: Subject = { name: 'broken', measure: () => Promise.reject(new Error('status 500')) }
  await t.rejects(
    runRounds([broken], 1, () => {}),
    { message: 'status 500' },
  )
})
