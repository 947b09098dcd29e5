import type { AddressInfo, Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { createApp } from '../../src/http/app.ts'
import { Draining } from '../../src/http/draining.ts'
import { RawClient } from '../support/raw-client.ts'
import { until } from '../support/until.ts'

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`

/** An app with a route whose answer begins at once and ends when the test says so. */
async function start(t: Test, arrivalMs?: number) {
  const app = createApp({ logger: pino({ level: 'silent' }) })
  const begun = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  app.get('/fast', () => 'fast')
  app.get('/slow', async (_request, reply) => {
    reply.hijack().raw.writeHead(200, { 'content-length': '4' }).flushHeaders()
    begun.resolve()
    await end.promise
    reply.raw.end('slow')
  })
  app.get('/silent', () => new Promise(() => begun.resolve()))
  app.post('/fast', () => 'fast')
  const sockets: Socket[] = []
  const unanswered: (string | undefined)[] = []
  app.server.on('connection', (socket: Socket) => sockets.push(socket))
  const onUnanswered = ({ request }: FastifyReply) => unanswered.push(request.routeOptions.url)
  const draining = new Draining(app, onUnanswered, arrivalMs)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    app.server.closeAllConnections()
    return app.close()
  })
  const { port } = app.server.address() as AddressInfo
  return { app, draining, sockets, unanswered, port, begun: begun.promise, end: end.resolve }
}

t.test('a response in progress ends, then its kept-alive connection closes', async (t) => {
  const { app, draining, port, begun, end } = await start(t)
  const client = new RawClient(t, port)
  const answer = client.ask(get('/slow'))
  await begun
  t.same(draining.open, { connections: 1, requests: ['GET /slow'] })
  draining.start()
  const closed = draining.close()
  await until('it listens no more', () => !app.server.listening)
  end()
  t.notMatch(await answer, /^connection: close/im, 'its head was sent before')
  await Promise.all([client.closed, closed])
  t.same(draining.open.requests, [])
})

t.test('a request that arrives during the shutdown is answered', async (t) => {
  const { app, draining, port, sockets } = await start(t)
  const client = new RawClient(t, port)
  client.send('GET /fast HTTP/1.1\r\n')
  await until('it has begun', () => sockets.some(({ bytesRead }) => bytesRead > 0))
  draining.start()
  const closed = draining.close()
  await until('it listens no more', () => !app.server.listening)
  const answer = await client.ask('Host: x\r\n\r\n')
  t.match(answer, /^HTTP\/1\.1 200 .*^connection: close.*fast$/ims)
  await closed
})

for (const [path, reported] of [
  ['/slow', []],
  ['/silent', ['/silent']],
] as const) {
  t.test(`a request to ${path} whose client has disconnected is not open`, async (t) => {
    const { draining, unanswered, port, begun } = await start(t)
    const client = new RawClient(t, port)
    t.match(await client.ask(get('/fast')), /fast$/)
    client.send(get(path))
    await begun
    client.leave()
    await until('it is gone', () => draining.open.connections === 0)
    t.same(draining.open.requests, [])
    t.same(unanswered, reported, 'it is reported if its response has not begun')
  })
}

t.test('a silent connection does not block the shutdown', async (t) => {
  const { draining, port, sockets } = await start(t)
  const client = new RawClient(t, port)
  await until('it is there', () => sockets.length > 0)
  await Promise.all([draining.close(), client.closed])
  t.pass('it has closed')
})

t.test('a request that does not arrive does not block the shutdown', async (t) => {
  const { draining, port, sockets, begun, end } = await start(t, 1)
  const [slow, head, body] = [1, 2, 3].map(() => new RawClient(t, port))
  const answer = slow?.ask(get('/slow'))
  head?.send('GET /fast HTTP/1.1\r\n')
  body?.send('POST /fast HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n')
  await begun
  const haveBegun = () => sockets.length === 3 && sockets.every(({ bytesRead }) => bytesRead > 0)
  await until('all have begun', haveBegun)
  const closed = draining.close()
  await Promise.all([head?.closed, body?.closed])
  end()
  t.match(await answer, /slow$/, 'a request that has arrived is answered')
  await closed
})

t.test('the second of two pipelined requests is open until it is answered', async (t) => {
  const { draining, port, begun } = await start(t)
  const client = new RawClient(t, port)
  t.match(await client.ask(get('/fast') + get('/silent')), /fast$/)
  await begun
  t.same(draining.open.requests, ['GET /silent'])
})
