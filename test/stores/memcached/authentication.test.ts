import { execFileSync } from 'node:child_process'
import { dirname } from 'node:path'
import t, { type Test } from 'tap'
import { MemcachedDataStore } from '../../../src/stores/memcached/data-store.ts'
import { type Certificates, makeCertificates } from '../../support/certificates.ts'
import { closedWith } from '../../support/closed-with.ts'
import { startMemcached, urlOf } from '../../support/memcached.ts'
import { patienceMs, patient } from '../../support/patience.ts'
import { fieldsOf, newOwner, write } from '../data-store-contract.ts'
import { detailOfRefusal } from '../unavailable.ts'

const localhost = 'DNS:localhost,IP:127.0.0.1'
const password = 's3cret/with?odd@signs'
const credentials = { username: 'gatepass', password }

async function works(t: Test, url: string): Promise<void> {
  const store = closedWith(t, await MemcachedDataStore.open(url, patient))
  const one = write({ owner: newOwner() })
  t.equal(await store.write(one), 'written')
  t.same(await store.read(one.owner, 'all'), fieldsOf(one))
}

function refused(t: Test, url: string, openMs = patienceMs): Promise<string> {
  return detailOfRefusal(t, MemcachedDataStore.open(url, { ...patient, openMs }), password)
}

/** Replaces the certificate by an expired one of the same authority. */
function expired(certificates: Certificates): Certificates {
  const cwd = dirname(certificates.ca)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd, stdio: 'pipe' })
  const validity = ['-not_before', '20200101000000Z', '-not_after', '20200102000000Z']
  openssl(
    ...['req', '-x509', '-key', 'server.key', '-out', 'expired.crt', '-subj', '/CN=server'],
    ...['-CA', 'ca.crt', '-CAkey', 'ca.key', ...validity],
    ...['-addext', `subjectAltName=${localhost}`, '-addext', 'basicConstraints=critical,CA:FALSE'],
  )
  return { ...certificates, cert: certificates.cert.replace('server.crt', 'expired.crt') }
}

t.test('TLS with the certificate of an authority that the URL names', async (t) => {
  const { url, port } = await startMemcached(t, { tls: makeCertificates(t, localhost) })
  await works(t, url)
  await works(t, url.replace('127.0.0.1', 'localhost'))
  t.match(await refused(t, `memcached://127.0.0.1:${port}`, 500), /node responds: .+\.$/)
  const unreachable = await refused(t, 'memcached://127.0.0.1:1', 500)
  t.equal(unreachable, 'No memcached node responds: connect ECONNREFUSED 127.0.0.1:1.')
})

t.test('TLS with an untrusted certificate is refused', async (t) => {
  const [one, other] = [makeCertificates(t, localhost), makeCertificates(t, localhost)]
  const { port } = await startMemcached(t, { tls: one })
  t.match(await refused(t, urlOf([port], { tls: other })), /certificate/)
  t.match(await refused(t, `memcacheds://127.0.0.1:${port}`), /certificate/)
  const mismatch = `memcacheds://127.0.0.1:${port}?cert=${one.cert}&key=${other.key}`
  t.match(await refused(t, mismatch), /certificate.*KEY_VALUES_MISMATCH/)
})

t.test('TLS with the certificate of another host is refused', async (t) => {
  const { url } = await startMemcached(t, { tls: makeCertificates(t, 'DNS:cache.example') })
  t.match(await refused(t, url), /certificate or host name/)
})

t.test('TLS with an expired certificate is refused', async (t) => {
  const { url } = await startMemcached(t, { tls: expired(makeCertificates(t, localhost)) })
  t.match(await refused(t, url), /certificate.*CERT_HAS_EXPIRED/)
})

t.test('TLS with a client certificate', async (t) => {
  const tls = makeCertificates(t, localhost)
  const stranger = makeCertificates(t, localhost)
  const { url } = await startMemcached(t, { tls, wantsCertificate: true })
  await works(t, `${url}&cert=${tls.cert}&key=${tls.key}`)
  t.match(await refused(t, url, 500), /certificate|No memcached node responds/)
  const wrong = `${url}&cert=${stranger.cert}&key=${stranger.key}`
  t.match(await refused(t, wrong, 500), /certificate|No memcached node responds/)
})

t.test('a missing file is a configuration error', async (t) => {
  const opening = MemcachedDataStore.open('memcacheds://127.0.0.1:1?ca=no.pem', {
    ...patient,
    cwd: '/',
  })
  await t.rejects(opening, { code: 'config_invalid' })
})

t.test('a user name and a password', async (t) => {
  const { url, port } = await startMemcached(t, { credentials })
  await works(t, url)
  const other = { username: 'gatepass', password: 'other' }
  t.match(await refused(t, urlOf([port], { credentials: other })), /refuses .* password/)
  t.match(await refused(t, urlOf([port])), /requires a user name and a password/)
})

t.test('a user name and a password over TLS', async (t) => {
  const { url } = await startMemcached(t, { credentials, tls: makeCertificates(t, localhost) })
  await works(t, url)
  t.match(await refused(t, url.replace('gatepass:', 'somebody:')), /refuses/)
})

t.test('a server that requires no password does not receive ours', async (t) => {
  const server = await startMemcached(t)
  t.match(await refused(t, urlOf([server.port], { credentials })), /requires no password/)
  t.equal(await server.stat('cmd_set'), 0)
})

t.test('one node that refuses the password prevents the start', async (t) => {
  const [one, other] = [await startMemcached(t, { credentials }), await startMemcached(t)]
  const detail = await refused(t, urlOf([one.port, other.port], { credentials }))
  t.match(detail, `127.0.0.1:${other.port}`)
})
