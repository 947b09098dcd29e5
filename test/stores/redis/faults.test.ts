import { execFileSync } from 'node:child_process'
import dns from 'node:dns'
import { connect } from 'node:net'
import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { messagesOf } from '../../../src/core/error-text.ts'
import { randomId } from '../../../src/core/secrets.ts'
import { RedisClient } from '../../../src/stores/redis/client.ts'
import { createConnectionFactory } from '../../../src/stores/redis/connection.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { parseRedisUrl } from '../../../src/stores/redis/url.ts'
import { closedWith } from '../../support/closed-with.ts'
import { collectGarbage } from '../../support/garbage.ts'
import { lateMs, patienceMs, patient } from '../../support/patience.ts'
import { startNode, startRedis, startSentinels, untilAnswered } from '../../support/redis.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { startTcpServer } from '../../support/tcp-server.ts'
import { until } from '../../support/until.ts'
import { TcpProxy } from '../tcp-proxy.ts'
import { timeUntilUnavailable } from '../unavailable.ts'

const deadlineMs = 2_000

t.test(
  'calls to a silent server fail within the deadline, and succeed once it responds',
  async (t) => {
    const server = await startRedis(t)
    const store = closedWith(t, await RedisSessionStore.open(server.url, { deadlineMs }))
    const one = session({ sid: randomId() })
    await store.create(one)
    server.freeze()
    const calls = [
      store.rotate(rotation({ sid: one.sid })),
      store.create(session({ sid: randomId() })),
      store.revoke(one.sid, t0, policy.revokedKeptMs),
      store.listBySub('user-1', t0),
      store.revocationsAfter('', 10),
      store.ping(),
    ]
    for (const tookMs of await Promise.all(calls.map((call) => timeUntilUnavailable(t, call)))) {
      t.ok(tookMs < deadlineMs + lateMs, `${tookMs} ms`)
    }
    const tookMs = await timeUntilUnavailable(t, store.find(one.sid, t0))
    t.ok(tookMs < deadlineMs + lateMs, `${tookMs} ms with no connection`)
    server.thaw()
    await untilAnswered('it is found', async () => (await store.find(one.sid, t0)) !== null)
    await untilAnswered(
      'a replay',
      async () => (await store.rotate(rotation({ sid: one.sid }))).outcome === 'replayed',
    )
  },
)

t.test('the client reconnects to a restarted server', async (t) => {
  const first = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(first.url, { deadlineMs }))
  await first.kill()
  const tookMs = await timeUntilUnavailable(t, store.ping())
  t.ok(tookMs < deadlineMs + lateMs, `${tookMs} ms`)
  await startRedis(t, { port: first.port })
  await untilAnswered('a ping', () => store.ping().then(() => true))
})

t.test('calls that have failed do not stay in memory while the server is down', async (t) => {
  const server = await startRedis(t)
  const client = closedWith(t, await RedisClient.open(server.url, { deadlineMs: 100 }))
  await server.kill()
  const failedCall = async () => {
    const command = ['GET', 'key']
    await timeUntilUnavailable(
      t,
      client.run((call) => call.command('key', command)),
    )
    return new WeakRef(command)
  }
  const commands: WeakRef<string[]>[] = []
  for (let n = 0; n < 5; n += 1) commands.push(await failedCall())
  await until('the commands are released', () => {
    collectGarbage()
    return commands.every((command) => command.deref() === undefined)
  })
})

t.test(
  'the error of a call does not blame the end of the connection after another call',
  async (t) => {
    const server = await startRedis(t)
    const store = await RedisSessionStore.open(server.url, { deadlineMs })
    t.teardown(() => store.close())
    const reason = (call: Promise<unknown>) => call.then(() => 'none', messagesOf)
    server.freeze()
    const first = reason(store.ping())
    await sleep(deadlineMs / 4)
    const reasons = await Promise.all([first, reason(store.ping())])
    for (const one of reasons) {
      t.match(one, /Redis did not reply in time/)
      t.notMatch(one, /Disconnects/)
    }
  },
)

t.test('calls survive a broken connection', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, patient))
  for (let round = 0; round < 5; round++) {
    await server.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await t.resolves(store.create(session({ sid: randomId() })))
  }
})

t.test('an unreachable server fails the start in time', async (t) => {
  const ports = [(await startTcpServer(t)).port, await freePort()]
  const urls = ports.flatMap((port) => [
    `redis://127.0.0.1:${port}`,
    `rediss://127.0.0.1:${port}`,
    `redis+cluster://127.0.0.1:${port}`,
    `redis+sentinel://127.0.0.1:${port}/main`,
  ])
  const open = (url: string) => RedisSessionStore.open(url, { deadlineMs: 200, openMs: 400 })
  const times = await Promise.all(urls.map((url) => timeUntilUnavailable(t, open(url))))
  for (const [n, tookMs] of times.entries()) {
    t.ok(tookMs < 200 + 400 + lateMs, `${urls[n]} after ${tookMs} ms`)
  }
})

t.test('the error of a host with several addresses names each of them', async (t) => {
  const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))
  type Callback = (error: null, found: typeof addresses) => void
  const lookup = (_host: string, _options: object, done: Callback) => done(null, addresses)
  const mocked = mock.method(dns, 'lookup', lookup as typeof dns.lookup)
  t.teardown(() => mocked.mock.restore())
  const port = await freePort()
  const refused = addresses.map(({ address }) => `connect ECONNREFUSED ${address}:${port}`)
  await t.rejects(RedisSessionStore.open(`redis://redis.test:${port}`, { openMs: 0 }), {
    message: `Redis cannot be used: ${refused.join(', ')}.`,
  })
})

t.test(
  'a rotation whose response was lost is repeated, except without a grace period',
  async (t) => {
    const server = await startRedis(t)
    const proxy = await TcpProxy.start(t, server.port)
    const scripts = () => proxy.sent.split('EVALSHA').length - 1
    const store = closedWith(t, await RedisSessionStore.open(proxy.through(server.url), patient))
    const [one, other] = [session({ sid: randomId() }), session({ sid: randomId() })]
    await store.create(one)
    await store.create(other)
    // The server knows the script from here on.
    const { session: found } = await store.rotate(rotation({ sid: one.sid }))
    const nowMs = t0 + 2 * policy.graceMs

    proxy.loseNextResponse()
    proxy.sent = ''
    const result = await store.rotate(rotation({ sid: one.sid, found, nowMs }))
    t.match(result, { outcome: 'replayed', session: { generation: 1 } })
    t.equal(scripts(), 2)

    proxy.loseNextResponse()
    proxy.sent = ''
    const strict = { ...policy, graceMs: 0 }
    const request = rotation({ sid: other.sid, found: other, nowMs, policy: strict })
    await timeUntilUnavailable(t, store.rotate(request))
    t.equal(scripts(), 1)
    t.equal((await store.find(other.sid, nowMs))?.generation, 1)
  },
)

t.test('a call beyond the limit fails immediately', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, { deadlineMs: 2_000 }))
  server.freeze()
  const calls = Array.from({ length: 10_000 }, () => store.ping().catch(() => {}))
  await t.rejects(store.ping(), { code: 'store_unavailable', detail: /too many calls/ })
  server.thaw()
  t.same([...new Set(await Promise.all(calls))], [undefined])
})

t.test('close() waits for calls and refuses further ones', async (t) => {
  const server = await startRedis(t)
  const store = await RedisSessionStore.open(server.url, { deadlineMs })
  const one = session({ sid: randomId() })
  const creating = store.create(one)
  const closing = store.close()
  await creating
  await closing
  await timeUntilUnavailable(t, store.find(one.sid, t0))

  const other = await RedisSessionStore.open(server.url, { deadlineMs })
  t.same(await other.find(one.sid, t0), one)
  server.freeze()
  const finding = timeUntilUnavailable(t, other.find(one.sid, t0))
  const startMs = performance.now()
  await other.close()
  t.ok(performance.now() - startMs < 2 * deadlineMs + lateMs)
  await finding
})

t.test(
  'a response that has arrived counts, even if the process reads it after the deadline',
  async (t) => {
    const server = await startRedis(t)
    const deadlineMs = 3_000
    const store = closedWith(t, await RedisSessionStore.open(server.url, { deadlineMs }))
    const one = session({ sid: randomId() })
    await store.create(one)
    server.freeze()
    const found = store.find(one.sid, t0)
    // Until the command is written.
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    const untilMs = performance.now() + 1.5 * deadlineMs
    server.thaw()
    // Redis serves connections in order: once it responds to another one, our response has arrived.
    execFileSync('redis-cli', ['-p', String(server.port), 'PING'])
    while (performance.now() < untilMs);
    t.match(await found, { sid: one.sid })
  },
)

t.test('a Redis before version 7 prevents the start', async (t) => {
  const { port } = await startTcpServer(t, (socket) => {
    // As Redis 6.0 replies.
    socket.on('data', (data) => {
      const isComplete = /HELLO\r\n\$1\r\n3/.test(String(data))
      socket.write(isComplete ? '%1\r\n+version\r\n+6.0.16\r\n' : '-ERR wrong number\r\n')
    })
  })
  await t.rejects(RedisSessionStore.open(`redis://127.0.0.1:${port}`, patient), {
    code: 'store_unavailable',
    detail: 'Redis 7 or later is required, and this is 6.0.16.',
  })
})

t.test('a node of a Cluster, or a sentinel, is refused if the URL is for one server', async (t) => {
  const node = await startNode(t)
  const { sentinels } = await startSentinels(t)
  for (const [mode, port] of [
    ['cluster', node.port],
    ['sentinel', sentinels[0]?.port],
  ] as const) {
    await t.rejects(RedisSessionStore.open(`redis://127.0.0.1:${port}`, patient), {
      code: 'store_unavailable',
      detail: `The server is a Redis in the mode ${mode}: use a URL with redis+${mode} or rediss+${mode}.`,
    })
  }
})

t.test('a node that belongs to no Cluster is not used for one', async (t) => {
  const { port } = await startNode(t)
  const url = `redis+cluster://127.0.0.1:${port}`
  const reason = 'The node knows no slots of the Cluster.'
  await t.rejects(RedisSessionStore.open(url, { openMs: 0 }), {
    code: 'store_unavailable',
    message: `Redis cannot be used: ${reason}`,
  })
  const limits = { maxSilenceMs: patienceMs, hasReplicatedRole: false }
  const create = createConnectionFactory(parseRedisUrl(url), '.', limits)
  const connection = create({ onError: () => {}, onLost: () => {} })
  t.teardown(() => connection.destroy())
  // It would replace a connection to the Cluster.
  await t.rejects(connection.connect(), { message: reason })
})

t.test('connecting may take longer than a call', async (t) => {
  const redis = await startRedis(t)
  const { port } = await startTcpServer(t, (client) => {
    const server = connect(redis.port, '127.0.0.1').on('error', () => {})
    client.once('close', () => server.destroy())
    setTimeout(() => client.pipe(server).pipe(client), 300)
  })
  const options = { deadlineMs: 200, openMs: 60_000 }
  const store = closedWith(t, await RedisSessionStore.open(`redis://127.0.0.1:${port}`, options))
  await untilAnswered('a ping', () => store.ping().then(() => true))
})

t.test('a write is repeated until the primary has enough replicas', async (t) => {
  const server = await startRedis(t)
  const open = async (deadlineMs: number) => {
    return closedWith(t, await RedisSessionStore.open(server.url, { deadlineMs }))
  }
  const [hasty, store] = [await open(500), await open(60_000)]
  const demand = (count: string) => server.ask('CONFIG', 'SET', 'min-replicas-to-write', count)
  await demand('1')
  await t.rejects(hasty.create(session({ sid: randomId() })), { code: 'store_unavailable' })
  const one = session({ sid: randomId() })
  const created = store.create(one)
  created.catch(() => {})
  await sleep(50)
  await demand('0')
  await created
  t.match(await store.find(one.sid, t0), { sid: one.sid })
})
