import t from 'tap'
import { ConnectionLimits } from '../../src/http/connection-limits.ts'

const limits = { all: 6, narrow: 2, wide: 3 }

t.test('one address has a share, and the network around it', async (t) => {
  const places = new ConnectionLimits(limits)
  t.ok(places.take('192.0.2.1'))
  t.ok(places.take('::ffff:192.0.2.1'))
  t.equal(places.take('192.0.2.1'), null)
  t.ok(places.take('192.0.2.2'))
  t.equal(places.take('192.0.2.3'), null)
  t.ok(places.take('198.51.100.1'), 'others have theirs')
})

t.test('an IPv6 customer is one, whichever address is used', async (t) => {
  const places = new ConnectionLimits(limits)
  t.ok(places.take('2001:db8:0:1::1'))
  t.ok(places.take('2001:db8:0:2::1'))
  t.equal(places.take('2001:db8:0:3::1'), null)
})

t.test('there is an end for all together', async (t) => {
  const places = new ConnectionLimits(limits)
  for (let n = 0; n < limits.all; n++) t.ok(places.take(`10.0.${n}.1`))
  t.equal(places.take('10.1.0.1'), null)
})

t.test('a place that was given back is free again', async (t) => {
  const places = new ConnectionLimits(limits)
  const leave = [places.take('192.0.2.1'), places.take('192.0.2.1')]
  t.equal(places.take('192.0.2.1'), null)
  leave[0]?.()
  t.ok(places.take('192.0.2.1'))
})
