import t, { type Test } from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisDataStore } from '../../../src/stores/redis/data-store.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patienceMs, patient } from '../../support/patience.ts'
import { type RedisServer, startCluster, startRedis, startSentinels } from '../../support/redis.ts'
import { session, t0 } from '../../support/sessions.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { counterStoreContract } from '../counter-store-contract.ts'
import { dataStoreContract } from '../data-store-contract.ts'
import { sessionStoreContract } from '../session-store-contract.ts'
import { detailOfRefusal } from '../unavailable.ts'
import { startCounters } from './counters.ts'

/** The rights that the store needs. */
const rule = [
  ...['~gp:*', 'resetchannels', '-@all', '+ping', '+eval', '+evalsha', '+get', '+mget', '+set'],
  ...['+zadd', '+zcard', '+zrange', '+zrem', '+zremrangebyscore', '+pexpiretime', '+pexpireat'],
  ...['+xadd', '+xrange', '+xdel', '+time', '+scan', '+hset', '+hsetnx', '+hmget'],
  '+del',
]
/** The rights that the store of counters needs. The library uses `+expire` only for a key without an expiry. */
const counterRule = [
  ...['~gp:*', 'resetchannels', '-@all', '+ping', '+eval', '+evalsha', '+get', '+set'],
  ...['+incrby', '+pttl', '+del'],
]
/** The rights that the store of session data needs. */
const dataRule = [
  ...['~gp:*', 'resetchannels', '-@all', '+ping', '+eval', '+evalsha', '+hgetall'],
  ...['+hmget', '+hset', '+hdel', '+hlen', '+pexpireat', '+unlink'],
]
/** Further rights in a Cluster. */
const clusterRule = ['+cluster|slots', '+asking']

const localhost = 'DNS:localhost,IP:127.0.0.1'
const password = 's3cret/with?odd@signs'
const quoted = encodeURIComponent(password)

async function works(t: Test, url: string, replicas = 0): Promise<void> {
  const store = closedWith(t, await RedisSessionStore.open(url, { ...patient, replicas }))
  const one = session({ sid: randomId() })
  await store.create(one)
  t.same(await store.find(one.sid, t0), one)
}

function refused(t: Test, url: string, openMs = patienceMs): Promise<string> {
  const opening = RedisSessionStore.open(url, { deadlineMs: 1_000, openMs })
  return detailOfRefusal(t, opening, password)
}

t.test('TLS with the certificate of an authority that the URL names', async (t) => {
  const certificates = makeCertificates(t, localhost)
  const server = await startRedis(t, { tls: certificates })
  await works(t, server.url)
  await works(t, server.url.replace('127.0.0.1', 'localhost'))
})

t.test('TLS with an untrusted certificate is refused', async (t) => {
  const [one, other] = [makeCertificates(t, localhost), makeCertificates(t, localhost)]
  const { port } = await startRedis(t, { tls: one })
  t.match(await refused(t, `rediss://127.0.0.1:${port}?ca=${other.ca}`), /certificate/)
  t.match(await refused(t, `rediss://127.0.0.1:${port}`), /certificate/)
  t.match(await refused(t, `redis://127.0.0.1:${port}`, 500), /cannot be used: .*[^.]\.$/)
})

t.test('TLS with the certificate of another host is refused', async (t) => {
  const server = await startRedis(t, { tls: makeCertificates(t, 'DNS:redis.example') })
  t.match(await refused(t, server.url), /certificate or host name.*ERR_TLS_CERT_ALTNAME_INVALID/)
})

t.test('TLS with a client certificate', async (t) => {
  const certificates = makeCertificates(t, localhost)
  const { cert, key } = certificates
  const options = ['--tls-auth-clients', 'yes']
  const { url } = await startRedis(t, { tls: certificates, options })
  await works(t, `${url}&cert=${cert}&key=${key}`)
  t.match(await refused(t, url), /certificate/)
})

t.test('a file that is missing or has no certificate is a configuration error', async (t) => {
  const cwd = createTestFolder(t, { 'not.pem': 'DER' })
  for (const [file, problem] of [
    ['missing.pem', 'cannot be read (ENOENT)'],
    ['not.pem', 'has no certificate in PEM format'],
  ] as const) {
    const opening = RedisSessionStore.open(`rediss://127.0.0.1:1?ca=${file}`, { cwd })
    const detail = `A Redis URL names a file as ca that ${problem}.`
    await t.rejects(opening, { code: 'config_invalid', detail })
  }
})

t.test('the user `default` with a password', async (t) => {
  const server = await startRedis(t, { password: 'word' })
  await works(t, server.url)
  const host = `127.0.0.1:${server.port}`
  t.match(await refused(t, `redis://:${quoted}@${host}`), /password/)
  t.match(await refused(t, `redis://${host}`), /password/)
})

t.test('an ACL user with the documented rights', async (t) => {
  const { server, url } = await startWithRights(t, rule)
  const host = `127.0.0.1:${server.port}`
  t.match(await refused(t, `redis://gatepass:other@${host}`), /password/)
  t.match(await refused(t, `redis://nobody:${quoted}@${host}`), /password/)
  await server.ask('ACL', 'LOG', 'RESET')
  await server.ask('CONFIG', 'RESETSTAT')
  t.test('can do everything', async (t) => {
    const open = async () => {
      await server.ask('FLUSHALL')
      await server.ask('SCRIPT', 'FLUSH')
      return RedisSessionStore.open(url, patient)
    }
    sessionStoreContract(t, open, { expiresByItself: true })
  })
  t.test('needs each of them', async (t) => needsEach(t, server, rule))
})

t.test('an ACL user with the documented rights for counters', async (t) => {
  const { server, url } = await startWithRights(t, counterRule)
  t.test('can do everything', async (t) => {
    counterStoreContract(t, (t) => startCounters(t, server, url))
  })
  t.test('needs each of them', async (t) => needsEach(t, server, counterRule))
})

t.test('an ACL user with the documented rights for session data', async (t) => {
  const { server, url } = await startWithRights(t, dataRule)
  t.test('can do everything', async (t) => {
    dataStoreContract(t, () => RedisDataStore.open(url, patient))
  })
  t.test('needs each of them', async (t) => needsEach(t, server, dataRule))
})

/** Starts a Redis with the user `gatepass`, who has these rights. */
async function startWithRights(t: Test, rule: readonly string[]) {
  const server = await startRedis(t)
  await server.ask('ACL', 'SETUSER', 'gatepass', 'on', `>${password}`, ...rule)
  await server.ask('CONFIG', 'RESETSTAT')
  return { server, url: `redis://gatepass:${quoted}@127.0.0.1:${server.port}` }
}

/** Checks that each right of a rule was used, and that no command was refused. */
async function needsEach(t: Test, server: RedisServer, rule: readonly string[]): Promise<void> {
  const stats = String(await server.ask('INFO', 'commandstats'))
  const used = [...stats.matchAll(/^cmdstat_([a-z|]+):/gm)].map(([, name]) => `+${name}`)
  const allowed = rule.filter((one) => one.startsWith('+') && one !== '+ping')
  t.same(
    allowed.filter((one) => !used.includes(one)),
    [],
  )
  // A wrong password of before may still be tried once, on a connection that is about to close.
  const refusals = (await server.ask('ACL', 'LOG')) as readonly { readonly reason: string }[]
  t.same(
    refusals.filter(({ reason }) => reason !== 'auth'),
    [],
  )
}

t.test('a Cluster with TLS and an ACL user', async (t) => {
  const tls = makeCertificates(t, localhost)
  const cluster = await startCluster(t, { tls })
  for (const node of cluster.nodes) {
    const user = ['gatepass', 'on', `>${password}`, ...rule, ...clusterRule]
    await node.ask('ACL', 'SETUSER', ...user)
  }
  const url = cluster.url.replace('://', `://gatepass:${quoted}@`)
  await Promise.all([1, 2, 3, 4, 5, 6].map(() => works(t, url)))
  t.match(await refused(t, url.replace(quoted, 'other')), /password/)
})

t.test('Sentinel with TLS and passwords', async (t) => {
  const tls = makeCertificates(t, localhost)
  const { url, primary } = await startSentinels(t, { tls, password: 'word' })
  await works(t, url)
  await primary.ask('ACL', 'SETUSER', 'gatepass', 'on', `>${password}`, ...rule)
  const withUser = url.replace(':word@', `gatepass:${quoted}@`)
  await works(t, `${withUser}&sentinel_password=word`)
  await primary.ask('ACL', 'SETUSER', 'gatepass', '+wait')
  await works(t, `${withUser}&sentinel_password=word`, 1)
  t.match(await refused(t, `${withUser}&sentinel_password=other`), /password/)
  t.match(await refused(t, url.replace(':word@', `gatepass:other@`)), /password/)
})
