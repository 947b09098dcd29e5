import t from 'tap'
import { SingleFlight } from '../../src/core/single-flight.ts'

t.test('calls during a run share its result; a later call runs again', async (t) => {
  let begun = 0
  const flight = new SingleFlight(async () => {
    begun += 1
    await new Promise(setImmediate)
  })
  await Promise.all([flight.run(), flight.run(), flight.settled()])
  t.equal(begun, 1)
  await flight.run()
  t.equal(begun, 2)
})

t.test('runAgain runs after the run in progress, once for all who wait', async (t) => {
  let begun = 0
  const flight = new SingleFlight(async () => {
    begun += 1
    await new Promise(setImmediate)
  })
  await Promise.all([flight.run(), flight.runAgain(), flight.runAgain()])
  t.equal(begun, 2)
})

t.test('run never rejects, and lastError has the result', async (t) => {
  const failure = new Error('away')
  const ends = [failure, null]
  const flight = new SingleFlight(async () => {
    const end = ends.shift()
    if (end) throw end
  })
  await flight.run()
  t.equal(flight.lastError, failure)
  await flight.run()
  t.equal(flight.lastError, null)
})
