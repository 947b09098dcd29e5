import t from 'tap'
import { parsePostgresUrl } from '../../../src/stores/postgres/url.ts'
import { isLocal } from '../../../src/stores/server-url.ts'

t.test('parses the parts of a URL', async (t) => {
  t.same(
    parsePostgresUrl(
      'postgres://us%65r:p%40%2F%3A@db.example:6543/my%20db?sslmode=verify-ca&sslrootcert=ca.pem',
    ),
    {
      host: 'db.example',
      port: 6543,
      user: 'user',
      password: 'p@/:',
      database: 'my db',
      tlsMode: 'verify-ca',
      rootCertificateFile: 'ca.pem',
    },
  )
  t.match(parsePostgresUrl('postgresql://u@[::1]/d'), { host: '::1', port: 5432, password: /^$/ })
  t.match(parsePostgresUrl('postgres://u@%2Frun%2Fpostgresql/d'), { host: '/run/postgresql' })
  t.match(parsePostgresUrl('postgres://u@h/d?sslmode=verify-ca&sslrootcert=c++/ca.pem'), {
    rootCertificateFile: 'c++/ca.pem',
  })
})

t.test('another machine is reached over TLS unless the URL says otherwise', async (t) => {
  const modeOf = (text: string) => parsePostgresUrl(text).tlsMode
  t.equal(modeOf('postgres://u@db.example/d'), 'verify-full')
  t.equal(modeOf('postgres://u@10.0.0.1/d'), 'verify-full')
  t.equal(modeOf('postgres://u@localhost.example/d'), 'verify-full')
  t.equal(modeOf('postgres://u@db.example/d?sslmode=disable'), 'disable')
  for (const host of ['localhost', '127.0.0.1', '[::1]', '%2Frun%2Fpostgresql']) {
    t.equal(modeOf(`postgres://u@${host}/d`), 'disable', host)
    t.ok(isLocal(parsePostgresUrl(`postgres://u@${host}/d`)), host)
  }
  t.notOk(isLocal({ host: 'db.example' }))
})

const refused: Record<string, RegExp> = {
  'postgres:': /names no host/,
  'mysql://u:secret@h/d': /is not of the form/,
  'postgres://u:secret@h:port/d': /is not of the form/,
  'postgres://u:secret@h/d#fragment': /is not of the form/,
  'postgres://:secret@h/d': /names no user/,
  'postgres://u:secret@h': /names no database/,
  'postgres://u:secret@h/': /names no database/,
  'postgres://u:secret%@h/d': /percent sign/,
  'postgres://u:secret@h/d?ssl=true&x=secret': /each of sslmode, sslrootcert at most once/,
  'postgres://u:secret@h/d?sslmode=disable&sslmode=verify-full': /at most once/,
  'postgres://u:secret@h/d?sslmode=prefer': /one of disable, require, verify-ca, verify-full/,
  'postgres://u:secret@h/d?sslmode=verify-ca': /needs an sslrootcert/,
  'postgres://u:secret@h/d?sslmode=require&sslrootcert=f': /only sslmode=verify-ca/,
}

for (const [url, why] of Object.entries(refused)) {
  t.test(`refused: ${url}`, async (t) => {
    try {
      parsePostgresUrl(url)
      t.fail('it was accepted')
    } catch (error) {
      t.match(error, { code: 'config_invalid', detail: why })
      t.notMatch((error as Error).message, /secret/)
      t.equal((error as Error).cause, undefined)
    }
  })
}
