import t from 'tap'
import { PostgresAccountStore } from '../../../src/stores/postgres/account-store.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'

const certificates = makeCertificates(t, 'DNS:localhost')
const server = await PostgresServer.start(t, { tls: certificates })
const direct = await server.createDatabase()

/** Returns the URL with a host name and parameters. */
function urlOf(host: string, parameters: Record<string, string>): string {
  const url = new URL(direct)
  url.hostname = host
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  // As in libpq, a plus sign is no space.
  url.search = url.search.replaceAll('+', '%20')
  return url.href
}

const { ca } = certificates

for (const [host, parameters] of [
  ['localhost', { sslmode: 'verify-full', sslrootcert: ca }],
  // The certificate has another name.
  ['127.0.0.1', { sslmode: 'verify-ca', sslrootcert: ca }],
  ['127.0.0.1', { sslmode: 'require' }],
] as const) {
  t.test(`TLS to ${host} by ${parameters.sslmode}`, async (t) => {
    const store = closedWith(t, await PostgresAccountStore.open(urlOf(host, parameters), patient))
    await store.ping()
    const connections = await server.query(
      `SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'gatepass'`,
    )
    t.same(connections, [{ ssl: true }])
    await store.close()
    await server.untilAlone(direct)
  })
}

for (const [what, host, parameters] of [
  ['a certificate for another name', '127.0.0.1', { sslmode: 'verify-full', sslrootcert: ca }],
  ['an authority that is not trusted', 'localhost', { sslmode: 'verify-full' }],
] as const) {
  t.test(`refused: ${what}`, async (t) => {
    await t.rejects(PostgresAccountStore.open(urlOf(host, parameters)), {
      code: 'store_unavailable',
      detail: /cannot be used: .*(certificate|altnames)/,
    })
  })
}

t.test('a server without TLS is refused, not used in plain text', async (t) => {
  const plain = await PostgresServer.start(t)
  const url = `${await plain.createDatabase()}?sslmode=require`
  await t.rejects(PostgresAccountStore.open(url), {
    code: 'store_unavailable',
    detail: /does not support SSL/,
  })
})

t.test('an unreadable certificate file is a configuration error', async (t) => {
  const parameters = { sslmode: 'verify-full', sslrootcert: `${ca}.no` }
  await t.rejects(PostgresAccountStore.open(urlOf('localhost', parameters)), {
    code: 'config_invalid',
    detail: /sslrootcert .*\.no of the Postgres URL cannot be read \(ENOENT\)/,
  })
  const withoutCertificate = { sslmode: 'verify-full', sslrootcert: import.meta.filename }
  await t.rejects(PostgresAccountStore.open(urlOf('localhost', withoutCertificate)), {
    code: 'config_invalid',
    detail: /has no certificate in PEM format/,
  })
})

t.test('a Unix socket', async (t) => {
  const url = new URL(direct)
  const socket = `postgres://gatepass@${encodeURIComponent(server.folder)}:${server.port}`
  const store = closedWith(t, await PostgresAccountStore.open(`${socket}${url.pathname}`, patient))
  await store.ping()
})
