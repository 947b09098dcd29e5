import t from 'tap'
import { ConnectionLimits } from '../../src/http/connection-limits.ts'

const maxima = { all: 6, narrow: 2, wide: 3 }

t.test('connections are limited per address and per network', async (t) => {
  const limits = new ConnectionLimits(maxima)
  t.ok(limits.open('192.0.2.1'))
  t.ok(limits.open('::ffff:192.0.2.1'))
  t.equal(limits.open('192.0.2.1'), null)
  t.ok(limits.open('192.0.2.2'))
  t.equal(limits.open('192.0.2.3'), null)
  t.ok(limits.open('198.51.100.1'), 'others have theirs')
})

t.test('all addresses of an IPv6 /56 count as one', async (t) => {
  const limits = new ConnectionLimits(maxima)
  t.ok(limits.open('2001:db8:0:1::1'))
  t.ok(limits.open('2001:db8:0:2::1'))
  t.equal(limits.open('2001:db8:0:3::1'), null)
})

t.test('connections are limited in total', async (t) => {
  const limits = new ConnectionLimits(maxima)
  for (let n = 0; n < maxima.all; n++) t.ok(limits.open(`10.0.${n}.1`))
  t.equal(limits.open('10.1.0.1'), null)
})

t.test('a released connection makes room for another', async (t) => {
  const limits = new ConnectionLimits(maxima)
  const release = [limits.open('192.0.2.1'), limits.open('192.0.2.1')]
  t.equal(limits.open('192.0.2.1'), null)
  release[0]?.()
  t.ok(limits.open('192.0.2.1'))
})
