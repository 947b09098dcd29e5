import t from 'tap'
import { isForeignHost, NetworkLimits, networksOf } from '../../src/core/networks.ts'
import fc from '../support/properties.ts'

const known: Record<string, [narrow: string, wide: string]> = {
  '203.0.113.7': ['203.0.113.7/32', '203.0.113.0/24'],
  '203.0.113.7:54321': ['203.0.113.7/32', '203.0.113.0/24'],
  '[2001:db8:1:23ff::1]:54321': ['2001:db8:1:2300::/56', '2001:db8:1::/48'],
  '::ffff:203.0.113.7': ['203.0.113.7/32', '203.0.113.0/24'],
  '::ffff:cb00:7107': ['203.0.113.7/32', '203.0.113.0/24'],
  '2001:db8:1:23ff::1': ['2001:db8:1:2300::/56', '2001:db8:1::/48'],
  '2001:0DB8:0001:2300:ffff:ffff:ffff:ffff': ['2001:db8:1:2300::/56', '2001:db8:1::/48'],
  '2001:db8::1:2:3:4': ['2001:db8:0:0::/56', '2001:db8:0::/48'],
  '::1': ['0:0:0:0::/56', '0:0:0::/48'],
  '1::': ['1:0:0:0::/56', '1:0:0::/48'],
  'fe80::1%eth0': ['fe80:0:0:0::/56', 'fe80:0:0::/48'],
}

for (const [address, [narrow, wide]] of Object.entries(known)) {
  t.test(`${address} is in ${narrow} and ${wide}`, async (t) => {
    t.strictSame(networksOf(address), { narrow, wide })
  })
}

t.test('all invalid addresses count as one', async (t) => {
  for (const text of [
    '',
    'unknown',
    '_hidden',
    '1.2.3',
    '1.2.3.4.5',
    '[::1:80',
    '[]:80',
    '::1::2',
  ]) {
    t.strictSame(networksOf(text), { narrow: 'unknown', wide: 'unknown' }, text)
  }
})

t.test('addresses share a network exactly when they share its bits', async (t) => {
  const group = fc.integer({ min: 0, max: 0xffff })
  const address = fc.tuple(fc.constantFrom(0x2001, 0x2a00), group, group, group, group)
  const textOf = (groups: number[]) => `${groups.map((one) => one.toString(16)).join(':')}::`
  fc.assert(
    fc.property(address, fc.integer({ min: 16, max: 79 }), (groups, flipped) => {
      const others = groups.with(
        flipped >> 4,
        (groups[flipped >> 4] ?? 0) ^ (0x8000 >> (flipped % 16)),
      )
      const [one, other] = [networksOf(textOf(groups)), networksOf(textOf(others))]
      t.equal(one.narrow === other.narrow, flipped >= 56)
      t.equal(one.wide === other.wide, flipped >= 48)
    }),
  )
})

const maxima = { all: 6, narrow: 2, wide: 3 }

t.test('connections are limited per address and per network', async (t) => {
  const limits = new NetworkLimits(maxima)
  t.ok(limits.admit('192.0.2.1'))
  t.ok(limits.admit('::ffff:192.0.2.1'))
  t.equal(limits.admit('192.0.2.1'), null)
  t.ok(limits.admit('192.0.2.2'))
  t.equal(limits.admit('192.0.2.3'), null)
  t.ok(limits.admit('198.51.100.1'), 'others have theirs')
})

t.test('all addresses of an IPv6 /56 count as one', async (t) => {
  const limits = new NetworkLimits(maxima)
  t.ok(limits.admit('2001:db8:0:1::1'))
  t.ok(limits.admit('2001:db8:0:2::1'))
  t.equal(limits.admit('2001:db8:0:3::1'), null)
})

t.test('a limit of one admits one', async (t) => {
  const limits = new NetworkLimits({ all: 1, narrow: 1, wide: 1 })
  t.ok(limits.admit('192.0.2.1'))
  t.equal(limits.admit('198.51.100.1'), null)
})

t.test('connections are limited in total', async (t) => {
  const limits = new NetworkLimits(maxima)
  for (let n = 0; n < maxima.all; n++) t.ok(limits.admit(`10.0.${n}.1`))
  t.equal(limits.admit('10.1.0.1'), null)
})

t.test('a released connection makes room for another', async (t) => {
  const limits = new NetworkLimits(maxima)
  const release = [limits.admit('192.0.2.1'), limits.admit('192.0.2.1')]
  t.equal(limits.admit('192.0.2.1'), null)
  release[0]?.()
  t.ok(limits.admit('192.0.2.1'))
  t.equal(limits.admit('192.0.2.1'), null, 'for one')
})

const ports = ['', ':', ':80', ':4001']

t.test('IP addresses, localhost and names without a dot are not foreign', async (t) => {
  for (const name of [
    ...['127.0.0.1', '10.1.2.3', '169.254.1.1', '[::1]', '[fd00::1]', '[::ffff:10.0.0.1]'],
    ...['localhost', 'LOCALHOST', 'localhost.', 'api.localhost', 'issuer', 'issuer-1', 'my_issuer'],
  ]) {
    for (const port of ports) t.notOk(isForeignHost(name + port), name + port)
  }
  for (const none of [undefined, '']) t.notOk(isForeignHost(none), 'no browser')
})

t.test('every other name is foreign', async (t) => {
  for (const name of [
    ...['evil.test', 'evil.test.', 'EVIL.test', 'localhost.evil.test', '127.0.0.1.evil.test'],
    ...['1.2.3', '1.2.3.4.5', 'evil.test:80:80', '[evil.test]', '[::1].evil.test'],
    ...['localhost@evil.test', 'xlocalhost.test', 'evil.test/localhost', 'evil.localhost.test'],
  ]) {
    for (const port of ports) t.ok(isForeignHost(name + port), name + port)
  }
  await fc.assert(fc.property(fc.domain(), (name) => isForeignHost(name)))
})

t.test('configured names are not foreign', async (t) => {
  const own = ['metrics.example.com', '.svc.cluster.local']
  for (const name of [
    ...['metrics.example.com', 'Metrics.Example.com', 'metrics.example.com.'],
    ...['issuer.auth.svc.cluster.local', 'a.b.svc.cluster.local'],
  ]) {
    for (const port of ports) t.notOk(isForeignHost(name + port, own), name + port)
  }
  for (const name of ['example.com', 'x.metrics.example.com', 'xsvc.cluster.local', 'evil.test']) {
    t.ok(isForeignHost(name, own), name)
  }
})
