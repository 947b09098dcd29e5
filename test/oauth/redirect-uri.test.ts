import t from 'tap'
import { isRegistered, withParameters } from '../../src/oauth/authorization-request.ts'
import fc from '../support/properties.ts'

const registered = [
  'https://app.example.com/callback',
  'https://app.example.com/with?query=1',
  'http://127.0.0.1/callback',
  'http://[::1]:8000/callback',
  'http://localhost:3000',
  'com.example.app:/callback',
]

t.test('a registered URI is accepted', async (t) => {
  for (const uri of registered) t.ok(isRegistered(uri, registered), uri)
})

t.test('on the loopback interface the port is free', async (t) => {
  for (const uri of [
    'http://127.0.0.1:51004/callback',
    'http://127.0.0.1:65535/callback',
    'http://[::1]/callback',
    'http://[::1]:1/callback',
    'http://localhost:9999',
  ]) {
    t.ok(isRegistered(uri, registered), uri)
  }
})

t.test('every other spelling of a registered URI is refused', async (t) => {
  for (const uri of [
    'https://app.example.com/Callback',
    'https://APP.example.com/callback',
    'HTTPS://app.example.com/callback',
    'https://app.example.com:443/callback',
    'https://app.example.com/callback/',
    'https://app.example.com/callback/../callback',
    'https://app.example.com/callback?x=1',
    'https://app.example.com/callback#x',
    'https://app.example.com/callback%00',
    'https://app.example.com/%63allback',
    'https://app.example.com//callback',
    'https://app.example.com\\callback',
    ' https://app.example.com/callback',
    'https://app.example.com/callback\n',
    'https://app.example.com@evil.example/callback',
    'https://evil.example/https://app.example.com/callback',
    'https://app.example.com.evil.example/callback',
    'http://app.example.com/callback',
    '//app.example.com/callback',
    'javascript:alert(1)',
    'https://app.example.com',
    'javascript://http://127.0.0.1/callback',
    'http://127.0.0.1:51004/other',
    'http://127.0.0.1:51004',
    'http://127.0.0.1:0/callback',
    'http://127.0.0.1:65536/callback',
    'http://127.0.0.1:51004@evil.example/callback',
    'http://127.0.0.1:51004.evil.example/callback',
    'http://127.0.0.1.evil.example/callback',
    'http://127.0.0.1:/callback',
    'http://127.0.0.1:051004/callback',
    'http://127.0.0.2/callback',
    'http://127.1/callback',
    'http://2130706433/callback',
    'http://localhost:3000/',
    'http://localhost:3000\\@evil.example',
    'http://user@127.0.0.1/callback',
    'https://127.0.0.1/callback',
    'http://127.0.0.1:51004/callback#x',
    'com.example.app:/callback/',
    'com.example.app://callback',
    '',
  ]) {
    t.notOk(isRegistered(uri, registered), uri)
  }
})

t.test('property: an accepted URI has the host and path of a registered one', async (t) => {
  const piece = fc.constantFrom(
    ...[
      'http://',
      'https://',
      '127.0.0.1',
      'localhost',
      '[::1]',
      ':',
      '80',
      '@',
      '/',
      '\\',
      '?',
      '#',
    ],
    ...['app.example.com', 'evil.example', '/callback', '.', '%2f', ' ', '\t', 'com.example.app:'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const uri = pieces.join('')
      if (!isRegistered(uri, registered)) return
      const { protocol, hostname, pathname, username } = new URL(uri)
      const same = registered
        .map((one) => new URL(one))
        .filter((one) => one.protocol === protocol && one.hostname === hostname)
      t.ok(same.some((one) => one.pathname === pathname) && username === '', uri)
    }),
  )
})

t.test('parameters are appended to the query', async (t) => {
  const given = { code: 'a b&c', state: undefined, iss: 'https://x' }
  const query = 'code=a+b%26c&iss=https%3A%2F%2Fx'
  t.equal(withParameters('https://a/cb', given), `https://a/cb?${query}`)
  t.equal(withParameters('https://a/cb?x=1', given), `https://a/cb?x=1&${query}`)
  t.equal(withParameters('com.example.app:/cb', given), `com.example.app:/cb?${query}`)
  t.equal(withParameters('https://a/cb', {}), 'https://a/cb')
})
