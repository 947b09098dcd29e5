import t from 'tap'
import { ConnectionLimits } from '../../src/http/connection-limits.ts'

const maxima = { all: 6, narrow: 2, wide: 3 }

t.test('one address has a share, and the network around it', async (t) => {
  const limits = new ConnectionLimits(maxima)
  t.ok(limits.open('192.0.2.1'))
  t.ok(limits.open('::ffff:192.0.2.1'))
  t.equal(limits.open('192.0.2.1'), null)
  t.ok(limits.open('192.0.2.2'))
  t.equal(limits.open('192.0.2.3'), null)
  t.ok(limits.open('198.51.100.1'), 'others have theirs')
})

t.test('an IPv6 customer is one, whichever address is used', async (t) => {
  const limits = new ConnectionLimits(maxima)
  t.ok(limits.open('2001:db8:0:1::1'))
  t.ok(limits.open('2001:db8:0:2::1'))
  t.equal(limits.open('2001:db8:0:3::1'), null)
})

t.test('there is an end for all together', async (t) => {
  const limits = new ConnectionLimits(maxima)
  for (let n = 0; n < maxima.all; n++) t.ok(limits.open(`10.0.${n}.1`))
  t.equal(limits.open('10.1.0.1'), null)
})

t.test('a place that was given back is free again', async (t) => {
  const limits = new ConnectionLimits(maxima)
  const release = [limits.open('192.0.2.1'), limits.open('192.0.2.1')]
  t.equal(limits.open('192.0.2.1'), null)
  release[0]?.()
  t.ok(limits.open('192.0.2.1'))
})
