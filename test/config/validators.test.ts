import t from 'tap'
import { addressRange, baseUrl, hostPattern, redirectUri } from '../../src/config/validators.ts'

t.test('a proxy is an address or a range of addresses', async (t) => {
  for (const text of [
    '10.0.0.1',
    '10.0.0.0/8',
    '0.0.0.0/1',
    '10.0.0.1/32',
    '::1',
    'fd00::/8',
    '2001:db8::1/128',
  ]) {
    t.ok(addressRange.safeParse(text).success, text)
  }
})

t.test('other texts, and ranges of all addresses, are refused', async (t) => {
  const wrong = [
    '',
    'localhost',
    'loopback',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '10.0.0.0/255.0.0.0',
    '10.0.0.0/+8',
    '10.0.0.0/8.5',
    '0.0.0.0/0',
    '::/0',
    '::/129',
    '*',
    'true',
  ]
  for (const text of wrong) t.notOk(addressRange.safeParse(text).success, text)
})

t.test('a URL has no user name and no password, which messages would show', async (t) => {
  t.ok(baseUrl.safeParse('https://auth.example/@ada').success)
  for (const user of ['ada@', ':secret@', 'ada:secret@']) {
    const text = `https://${user}auth.example`
    t.notOk(baseUrl.safeParse(text).success, text)
    t.notOk(redirectUri.safeParse(text).success, text)
  }
})

t.test('a base URL ends before a slash, a query or a fragment', async (t) => {
  t.ok(baseUrl.safeParse('https://auth.example/a').success)
  for (const end of ['/', '/a/', '?', '?a=1', '#', '#a', '\n']) {
    t.notOk(baseUrl.safeParse(`https://auth.example${end}`).success, end)
  }
})

t.test('a host of the admin port is a whole name', async (t) => {
  for (const text of ['metrics', 'Metrics.example.com', '.example.com']) {
    t.ok(hostPattern.safeParse(text).success, text)
  }
  for (const text of ['', '.', '..a', 'a.', 'a..b', 'a b', 'a:80', '*.example.com', 'a/b']) {
    t.notOk(hostPattern.safeParse(text).success, text)
  }
})
