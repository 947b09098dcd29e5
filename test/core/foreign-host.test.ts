import t from 'tap'
import { isForeignHost } from '../../src/core/foreign-host.ts'
import fc from '../support/properties.ts'

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
