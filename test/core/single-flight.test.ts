import t from 'tap'
import { SingleFlight } from '../../src/core/single-flight.ts'

t.test('who asks while it is under way shares its end; who asks later begins anew', async (t) => {
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

t.test('it never rejects, and says how it went the last time', async (t) => {
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
