import t from 'tap'
import { GatepassError } from '../../../src/core/errors.ts'
import { parseRedisUrl } from '../../../src/stores/redis/url.ts'

const nobody = { username: '', password: '' }
const local = [{ host: 'localhost', port: 6379 }]

t.test('one server', async (t) => {
  const plain = { topology: 'single', nodes: local, credentials: nobody, tls: null, database: 0 }
  t.strictSame(parseRedisUrl('redis://localhost'), plain)
  t.strictSame(parseRedisUrl('redis://localhost/'), plain)
  t.strictSame(parseRedisUrl('redis://localhost/3'), { ...plain, database: 3 })
  t.match(parseRedisUrl('redis://10.0.0.1:7000'), { nodes: [{ host: '10.0.0.1', port: 7000 }] })
  t.match(parseRedisUrl('redis://[::1]:7000'), { nodes: [{ host: '::1', port: 7000 }] })
})

t.test('a user name and a password', async (t) => {
  const credentials = (url: string) => parseRedisUrl(url).credentials
  t.strictSame(credentials('redis://:word@localhost'), { username: '', password: 'word' })
  t.strictSame(credentials('redis://me:word@localhost'), { username: 'me', password: 'word' })
  const odd = { username: 'm:e', password: 'a/b?c#d@e:f%' }
  const userinfo = `${encodeURIComponent(odd.username)}:${encodeURIComponent(odd.password)}`
  t.strictSame(credentials(`redis://${userinfo}@localhost`), odd)
})

t.test('TLS', async (t) => {
  const none = { ca: '', cert: '', key: '' }
  t.strictSame(parseRedisUrl('rediss://localhost').tls, none)
  t.strictSame(parseRedisUrl('rediss://localhost?ca=/etc/ca.pem').tls, {
    ...none,
    ca: '/etc/ca.pem',
  })
  t.strictSame(parseRedisUrl('rediss+cluster://localhost?cert=a.pem&key=b%20c.pem').tls, {
    ...none,
    cert: 'a.pem',
    key: 'b c.pem',
  })
})

t.test('a Cluster', async (t) => {
  t.strictSame(parseRedisUrl('redis+cluster://me:word@a:1,b,c:3'), {
    topology: 'cluster',
    nodes: [
      { host: 'a', port: 1 },
      { host: 'b', port: 6379 },
      { host: 'c', port: 3 },
    ],
    credentials: { username: 'me', password: 'word' },
    tls: null,
  })
})

t.test('Sentinel', async (t) => {
  const word = { username: '', password: 'word' }
  t.strictSame(parseRedisUrl('redis+sentinel://:word@a,b:2/main/5'), {
    topology: 'sentinel',
    nodes: [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 2 },
    ],
    credentials: word,
    sentinelCredentials: word,
    masterName: 'main',
    database: 5,
    tls: null,
  })
  const sentinels = (query: string) =>
    parseRedisUrl(`redis+sentinel://:word@a/main?${query}`) as { sentinelCredentials?: unknown }
  t.strictSame(sentinels('sentinel_password=').sentinelCredentials, nobody)
  t.strictSame(sentinels('sentinel_username=s&sentinel_password=t').sentinelCredentials, {
    username: 's',
    password: 't',
  })
  t.match(sentinels('sentinel_password=a+b%26c').sentinelCredentials, { password: 'a+b&c' })
})

t.test('a wrong URL is refused, and not quoted', async (t) => {
  const secret = 'hunter2'
  for (const [url, reason] of [
    ['', /must be/],
    ['redis:', /must be/],
    [`http://:${secret}@localhost`, /must be/],
    [`redis+cluster+sentinel://:${secret}@localhost`, /must be/],
    [`redis://:${secret}@localhost#fragment`, /must be/],
    [`redis://:${secret}@`, /host:port/],
    [`redis://:${secret}@localhost:0`, /host:port/],
    [`redis://:${secret}@localhost:65536`, /host:port/],
    [`redis://:${secret}@local host`, /host:port/],
    [`redis+cluster://:${secret}@a,,b`, /host:port/],
    [`redis://:half/${secret}@localhost`, /host:port/],
    [`redis://:half#${secret}@localhost`, /must be/],
    [`redis://:half?${secret}=1@localhost`, /host:port/],
    [`redis://${secret}@localhost`, /without a password/],
    [`redis://:${secret}%@localhost`, /percent/],
    [`redis://:${secret}@a,b`, /more than one/],
    [`redis://:${secret}@localhost/zero`, /number/],
    [`redis://:${secret}@localhost/0/1`, /number/],
    [`redis+cluster://:${secret}@localhost/1`, /only one/],
    [`redis+sentinel://:${secret}@localhost`, /master name/],
    [`redis://:${secret}@localhost?ca=x`, /no parameter/],
    [`rediss://:${secret}@localhost?${secret}=x`, /ca, cert, key/],
    [`rediss://:${secret}@localhost?ca=x&ca=y`, /at most once/],
    [`rediss://:${secret}@localhost?cert=x`, /together/],
    [`redis+sentinel://localhost/main?sentinel_username=${secret}`, /without a password/],
  ] as const) {
    try {
      parseRedisUrl(url)
      t.fail(`${url} was understood`)
    } catch (error) {
      if (!(error instanceof GatepassError)) throw error
      t.equal(error.code, 'config_invalid')
      t.match(error.detail, reason, url)
      t.notMatch(String(error), secret)
    }
  }
})
