import t from 'tap'
import type { GatepassError } from '../../../src/core/errors.ts'
import { nameOf, parseMemcachedUrl } from '../../../src/stores/memcached/url.ts'

t.test('nodes', async (t) => {
  const plain = { credentials: null, tls: null }
  const local = { host: 'localhost', port: 11_211 }
  t.strictSame(parseMemcachedUrl('memcached://localhost'), { ...plain, nodes: [local] })
  t.strictSame(parseMemcachedUrl('memcached://LOCALHOST/'), { ...plain, nodes: [local] })
  const { nodes } = parseMemcachedUrl('memcached://10.0.0.1:7000,b,[::1]:3')
  t.strictSame(nodes.map(nameOf), ['10.0.0.1:7000', 'b:11211', '[::1]:3'])
  t.strictSame(nodes[2], { host: '::1', port: 3 })
})

t.test('a user name and a password', async (t) => {
  const password = 'a/b?c#d@e:f%,'
  const { credentials, nodes } = parseMemcachedUrl(
    `memcached://me:${encodeURIComponent(password)}@a,b`,
  )
  t.strictSame(credentials, { username: 'me', password })
  t.equal(nodes.length, 2)
})

t.test('TLS', async (t) => {
  const none = { ca: '', cert: '', key: '' }
  t.strictSame(parseMemcachedUrl('memcacheds://localhost').tls, none)
  t.strictSame(parseMemcachedUrl('memcacheds://a?ca=/etc/ca.pem').tls, {
    ...none,
    ca: '/etc/ca.pem',
  })
  t.strictSame(parseMemcachedUrl('memcacheds://a,b/?cert=a.pem&key=b%20c.pem').tls, {
    ...none,
    cert: 'a.pem',
    key: 'b c.pem',
  })
})

t.test('a wrong URL is refused, and not quoted', async (t) => {
  const secret = 's3cret'
  for (const [url, detail] of [
    [`memcache://u:${secret}@a`, /must be memcached:/],
    [`memcached:${secret}`, /must be memcached:/],
    [`memcached://u:${secret}@a/1`, /must be memcached:/],
    ['memcached://', /host:port/],
    [`memcached://u:${secret}@a,`, /host:port/],
    [`memcached://u:${secret}@a:0`, /host:port/],
    [`memcached://u:${secret}@a:70000`, /host:port/],
    [`memcached://u:${secret}@a b`, /host:port/],
    [`memcached://u:${secret}@a:1,A:1`, /twice/],
    [`memcached://u:${secret}@${Array.from({ length: 101 }, (_, n) => `a${n}`)}`, /100 nodes/],
    [`memcached://${secret}@a`, /or neither/],
    [`memcached://:${secret}@a`, /or neither/],
    ['memcached://u:@a', /or neither/],
    [`memcached://u%20x:${secret}@a`, /cannot hold/],
    [`memcached://u:${secret}%0a@a`, /cannot hold/],
    [`memcached://u:${secret}%20@a`, /cannot hold/],
    [`memcached://u:${secret}%@a`, /percent-encoded/],
    [`memcached://u:${secret}@a?ca=x`, /no parameter/],
    [`memcacheds://u:${secret}@a?ca=x&ca=y`, /at most once/],
    [`memcacheds://u:${secret}@a?verify=no`, /each of ca, cert, key/],
    [`memcacheds://u:${secret}@a?cert=x`, /together/],
  ] as const) {
    try {
      parseMemcachedUrl(url)
      t.fail(url)
    } catch (error) {
      t.match(error, { code: 'config_invalid', detail })
      t.notMatch((error as GatepassError).message, secret)
    }
  }
})
