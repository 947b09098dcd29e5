import type { IncomingMessage } from 'node:http'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import type { Replica } from '../../src/playground/api.ts'
import { type BalancedRequest, Balancer } from '../../src/playground/balancer.ts'
import { startHttpServer, type TestServer } from '../support/http-server.ts'

function replica(name: string, { port }: Pick<TestServer, 'port'>): Replica {
  return { name, kind: 'verifier', port }
}

function startBalancer(t: Test, replicas: readonly Replica[]): Balancer {
  const balancer = new Balancer({ list: () => replicas })
  t.teardown(() => balancer.close())
  return balancer
}

const get: BalancedRequest = { method: 'GET', path: '/verify', headers: {}, body: undefined }
const post: BalancedRequest = { ...get, method: 'POST', body: Buffer.from('{}') }

t.test('requests go to every replica', async (t) => {
  const names = ['a', 'b', 'c']
  const servers = await Promise.all(
    names.map(() => startHttpServer(t, (_, response) => response.end())),
  )
  const balancer = startBalancer(
    t,
    servers.map((server, index) => replica(names[index] ?? '', server)),
  )
  const met = new Set<string>()
  // That one of three is never met is less likely than one in 10^34.
  for (let count = 0; count < 200; count++)
    met.add((await balancer.forward('verifier', get)).replica)
  t.same([...met].sort(), names)
})

t.test('another replica answers for a replica that is gone', async (t) => {
  let count = 0
  const alive = await startHttpServer(t, (_, response) => {
    count++
    response.end()
  })
  const list = [replica('gone', { port: await freePort() }), replica('alive', alive)]
  const balancer = startBalancer(t, list)
  for (let tries = 0; tries < 20; tries++) {
    t.equal((await balancer.forward('verifier', post)).replica, 'alive')
  }
  t.equal(count, 20, 'each was done once')
})

t.test('a request of a replica that dies is repeated if that is safe', async (t) => {
  let deaths = 0
  const dying = await startHttpServer(t, (request) => {
    deaths++
    request.socket.destroy()
  })
  let done = 0
  const alive = await startHttpServer(t, (_, response) => {
    done++
    response.end()
  })
  const balancer = startBalancer(t, [replica('dying', dying), replica('alive', alive)])
  const keyed = { ...post, headers: { 'idempotency-key': 'k1' } }
  for (const outgoing of [get, keyed, { ...get, method: 'HEAD' }]) {
    for (let tries = 0; tries < 10; tries++) {
      t.equal((await balancer.forward('verifier', outgoing)).replica, 'alive')
    }
  }
  t.equal(done, 30)
  t.ok(deaths > 0, 'some of them had met the other first')
})

t.test('an unsafe request is not repeated', async (t) => {
  let count = 0
  const servers = await Promise.all(
    ['a', 'b'].map(() =>
      startHttpServer(t, (request) => {
        count++
        request.socket.destroy()
      }),
    ),
  )
  const balancer = startBalancer(
    t,
    servers.map((server, index) => replica(String(index), server)),
  )
  await t.rejects(balancer.forward('verifier', post), { code: 'replica_unavailable' })
  t.equal(count, 1)
  await t.rejects(balancer.forward('verifier', get), { code: 'replica_unavailable' })
  t.equal(count, 3)
})

t.test('an unsafe request uses a new connection', async (t) => {
  const ports = new Set<number | undefined>()
  const server = await startHttpServer(t, (request, response) => {
    ports.add(request.socket.remotePort)
    response.end()
  })
  const balancer = startBalancer(t, [replica('a', server)])
  await balancer.forward('verifier', get)
  await balancer.forward('verifier', get)
  t.equal(ports.size, 1, 'reads keep theirs')
  await balancer.forward('verifier', post)
  await balancer.forward('verifier', post)
  t.equal(ports.size, 3)
})

t.test('a request with an incomplete response is repeated', async (t) => {
  const breaking = await startHttpServer(t, (_, response) => {
    response.writeHead(200, { 'content-length': '1000' })
    response.write('half', () => response.destroy())
  })
  const whole = await startHttpServer(t, (_, response) => response.end('whole'))
  const balancer = startBalancer(t, [replica('breaking', breaking), replica('whole', whole)])
  for (let tries = 0; tries < 10; tries++) {
    t.equal(String((await balancer.forward('verifier', get)).body), 'whole')
  }
})

t.test('an endless response is a failure', async (t) => {
  const server = await startHttpServer(t, (_, response) => {
    const write = () => response.destroyed || response.write(Buffer.alloc(65_536), write)
    write()
  })
  const balancer = startBalancer(t, [replica('a', server)])
  await t.rejects(balancer.forward('verifier', get), { code: 'replica_unavailable' })
})

t.test('a replica receives the token and no cookie, and sets no cookie', async (t) => {
  let seen: IncomingMessage['headers'] = {}
  const server = await startHttpServer(t, (request, response) => {
    seen = request.headers
    response.writeHead(418, {
      etag: '"1"',
      'content-type': 'text/x',
      'set-cookie': 'a=b',
      'content-security-policy': 'none',
    })
    request.pipe(response)
  })
  const balancer = startBalancer(t, [replica('a', server)])
  const headers = {
    authorization: 'Bearer x',
    'if-match': '"0"',
    cookie: 'gatepass_refresh=secret',
    origin: 'http://localhost:4000',
    host: 'localhost:4000',
    'x-forwarded-for': '127.0.0.1',
    connection: 'upgrade',
  }
  const answer = await balancer.forward('verifier', { ...post, headers })
  t.match(seen, { authorization: 'Bearer x', 'if-match': '"0"', 'content-length': '2' })
  for (const name of ['cookie', 'origin', 'x-forwarded-for']) t.notOk(name in seen, name)
  t.equal(answer.status, 418)
  t.equal(String(answer.body), '{}')
  t.same(answer.headers, { etag: '"1"', 'content-type': 'text/x' })
})

t.test('only ready replicas of the right kind are used', async (t) => {
  const server = await startHttpServer(t, (_, response) => response.end())
  const shop: Replica = { ...replica('shop', server), kind: 'shop' }
  const balancer = startBalancer(t, [shop, { name: 'new', kind: 'verifier', port: null }])
  await t.rejects(balancer.forward('verifier', get), {
    code: 'replica_unavailable',
    retryAfterSeconds: 1,
  })
  t.equal((await balancer.forward('shop', get)).replica, 'shop')
})
