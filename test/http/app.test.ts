import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { requestIdOf } from '../../src/http/app.ts'
import { password, startIssuer, type TestIssuer } from '../support/issuer.ts'

const json = { 'content-type': 'application/json' }

/** Sends bytes as they are, and gives back all that comes until the other side closes. */
async function sendRaw(issuer: TestIssuer, text: string): Promise<string> {
  const { port } = await issuer.listen()
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  let received = ''
  socket.setEncoding('utf8').on('data', (part) => {
    received += part
  })
  await once(socket, 'close')
  return received
}

t.test('malformed JSON is 400', async (t) => {
  const issuer = await startIssuer(t)
  for (const body of ['{"username":', '{"username":"a","username"', '\u0000', '{"__proto__":{}}']) {
    const response = await issuer.call({ method: 'POST', url: '/login', headers: json, body })
    t.match(response.json(), { status: 400, code: 'request_malformed', detail: /not JSON/ }, body)
    t.match(response.headers['content-type'], 'application/problem+json')
  }
})

t.test('JSON that is not UTF-8 is 400, and no password is checked', async (t) => {
  const issuer = await startIssuer(t)
  const body = Buffer.from('{"username":"ada","password":"Zürich"}', 'latin1')
  const response = await issuer.call({ method: 'POST', url: '/login', headers: json, body })
  t.match(response.json(), { status: 400, code: 'request_malformed', detail: /UTF-8/ })
  t.same(issuer.audit(), [])
})

t.test('unknown and mistyped fields are 422, with their paths', async (t) => {
  const issuer = await startIssuer(t)
  const body = { username: 7, password, pasword: 'x', refresh_token_in: 'header' }
  const response = await issuer.call({ method: 'POST', url: '/login', body })
  t.match(response.json(), { status: 422, code: 'request_invalid' })
  const pointers = response.json().errors.map(({ pointer }: { pointer: string }) => pointer)
  t.same(pointers.sort(), ['/body', '/body/refresh_token_in', '/body/username'])
  t.match(response.body, /pasword/)
  t.notMatch(response.body, password)
})

t.test('a body that is no object, or nested too deep, is refused', async (t) => {
  const issuer = await startIssuer(t)
  for (const body of [
    '',
    '[]',
    '"text"',
    '1',
    'null',
    `${'['.repeat(5_000)}${']'.repeat(5_000)}`,
  ]) {
    const response = await issuer.call({ method: 'POST', url: '/login', headers: json, body })
    t.match(response.json(), { status: 422, code: 'request_invalid' })
  }
})

t.test('another content type is 415', async (t) => {
  const issuer = await startIssuer(t)
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'x',
  ]) {
    const headers = { 'content-type': type }
    const response = await issuer.call({ method: 'POST', url: '/login', headers, body: 'a=b' })
    t.match(response.json(), { status: 415, code: 'content_type_unsupported' }, type)
  }
})

t.test('an empty body of any type is no body', async (t) => {
  const issuer = await startIssuer(t)
  const cookies = Object.fromEntries(
    (await issuer.login()).cookies.map(({ name, value }) => [name, value]),
  )
  for (const headers of [
    { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '0' },
    { 'content-type': 'text/plain;charset=UTF-8', 'content-length': '0' },
    { 'transfer-encoding': 'chunked' },
  ]) {
    const response = await issuer.call({ method: 'POST', url: '/refresh', headers, cookies })
    t.equal(response.statusCode, 200, JSON.stringify(headers))
  }
  const cookie = Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join('; ')
  for (const type of ['application/json', 'text/plain', 'x']) {
    for (const length of ['', 'Content-Length: 0\r\n']) {
      const head = `POST /refresh HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${type}\r\n`
      const received = await sendRaw(issuer, `${head}${length}Cookie: ${cookie}\r\n\r\n`)
      t.match(received, /^HTTP\/1\.1 200 /, `${type}, and ${length || 'no length'}`)
    }
  }
  const headers = { 'content-type': 'text/plain' }
  const unknown = await issuer.call({ method: 'POST', url: '/nowhere', headers, body: 'x' })
  t.equal(unknown.statusCode, 404)
})

t.test('a body over 16 KiB is 413', async (t) => {
  const issuer = await startIssuer(t)
  const body = { username: 'ada', password: 'x'.repeat(16 * 1024) }
  const response = await issuer.call({ method: 'POST', url: '/login', body })
  t.match(response.json(), { status: 413, code: 'body_too_large' })
})

t.test('an unknown address is 404, another method 405 with Allow', async (t) => {
  const issuer = await startIssuer(t)
  for (const url of ['/', '/logins', '/sessions/a/b', '/%00', '/login/']) {
    const response = await issuer.call({ url })
    t.match(response.json(), { status: 404, code: 'route_not_found' }, url)
  }
  for (const [method, url, allow] of [
    ['GET', '/login', 'POST'],
    ['PUT', '/refresh', 'POST'],
    ['POST', '/me', 'GET, HEAD'],
    ['GET', '/sessions/abc', 'DELETE'],
    ['DELETE', '/.well-known/jwks.json', 'GET, HEAD'],
  ] as const) {
    const response = await issuer.call({ method, url })
    t.match(response.json(), { status: 405, code: 'method_not_allowed' }, url)
    t.equal(response.headers.allow, allow)
  }
})

t.test('a malformed address is 400, and the log does not have it', async (t) => {
  const issuer = await startIssuer(t)
  const { access_token } = await issuer.signIn()
  for (const url of [
    '/sessions/%zz',
    `/sessions/${access_token}`,
    `/%zz?access_token=${access_token}`,
  ]) {
    const response = await issuer.call({ url })
    t.match(response.json(), { status: 400, code: 'request_malformed', detail: /path/ }, url)
    t.equal(response.headers['x-content-type-options'], 'nosniff', url)
  }
  t.notMatch(JSON.stringify(issuer.lines), new RegExp(`${access_token}|%zz`))
})

t.test('the length of an Idempotency-Key is limited', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  const response = await issuer.refresh(refresh_token, { 'idempotency-key': 'x'.repeat(256) })
  t.match(response.json(), { status: 422, errors: [{ pointer: '/headers/idempotency-key' }] })
})

t.test('a request that is not HTTP gets a problem document', async (t) => {
  const issuer = await startIssuer(t)
  const answer = await sendRaw(issuer, 'NONSENSE\r\n\r\n')
  t.match(answer, /^HTTP\/1\.1 400 /)
  t.match(answer, /"code":"request_malformed"/)
  t.match(answer, /\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n/)
})

t.test('a request of HTTP/1.1 without one valid Host gets a problem document', async (t) => {
  const url = '/.well-known/jwks.json'
  const issuer = await startIssuer(t)
  const bad = ['a b', 'a/b', 'user@a', 'a?b', 'a\\b'].map((host) => `Host: ${host}\r\n`)
  for (const hosts of ['', 'Host: a\r\nHost: b\r\n', ...bad]) {
    const head = `GET ${url} HTTP/1.1\r\n${hosts}`
    const received = await sendRaw(issuer, `${head}Connection: close\r\n\r\n`)
    t.match(received, /^HTTP\/1.1 400 /)
    t.match(received, /"code":"request_malformed","detail":"[^"]*Host/)
  }
  const { port } = await issuer.listen()
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  socket.write(`GET ${url} HTTP/1.0\r\n\r\n`)
  t.match((await once(socket, 'data'))[0], /^HTTP\/1.1 200 /)
})

t.test('a second Authorization header is refused, not ignored', async (t) => {
  const issuer = await startIssuer(t)
  const { access_token } = await issuer.signIn()
  const good = `Authorization: Bearer ${access_token}`
  const received = await sendRaw(
    issuer,
    `GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${good}\r\n${good}\r\n\r\n`,
  )
  t.match(received, /^HTTP\/1.1 401 /)
  t.match(received, 'token_malformed')
})

t.test('I7: a flood of headers is 431', async (t) => {
  const issuer = await startIssuer(t)
  const answer = await sendRaw(
    issuer,
    `GET / HTTP/1.1\r\nHost: x\r\n${`X-Flood: ${'y'.repeat(1000)}\r\n`.repeat(20)}\r\n`,
  )
  t.match(answer, /^HTTP\/1\.1 431 /)
  t.match(answer, /"code":"header_too_large"/)
  const line = issuer.lines.find(({ code }) => code === 'header_too_large')
  t.match(line, { level: 20, msg: 'refused', reason: 'HPE_HEADER_OVERFLOW' })
  t.notMatch(JSON.stringify(line), /rawPacket|yyy/)
})

t.test('I7: a flood of requests whose responses nobody reads closes the connection', async (t) => {
  const issuer = await startIssuer(t)
  const { port } = await issuer.listen()
  const get = (url: string) => `GET ${url} HTTP/1.1\r\nHost: x\r\n`
  for (const [url, count, isAnswered] of [
    ['/openapi.json', 16, true],
    ['/openapi.json', 17, false],
    ['/%zz', 17, false],
  ] as const) {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    socket.write(`${`${get(url)}\r\n`.repeat(count)}${get('/last')}Connection: close\r\n\r\n`)
    let received = ''
    socket
      .on('error', () => {})
      .on('data', (part) => {
        received += part
      })
    await new Promise((resolve) => socket.once('close', resolve))
    t.equal(received.includes('route_not_found'), isAnswered, `${count} times ${url}`)
  }
})

t.test('I7: slow requests time out', async (t) => {
  const { app, listen } = await startIssuer(t)
  t.ok(app.server.requestTimeout > 0 && app.server.requestTimeout <= 10_000)
  t.ok(app.server.headersTimeout > 0 && app.server.headersTimeout <= app.server.requestTimeout)
  t.ok(app.server.timeout > app.server.requestTimeout && app.server.timeout <= 60_000)
  const { port } = await listen()
  app.server.headersTimeout = 1
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).setEncoding('utf8')
  t.teardown(() => client.destroy())
  client.write('GET / HTTP/1.1\r\n')
  const [[socket]] = await Promise.all([
    once(app.server, 'connection') as Promise<[Socket]>,
    once(client, 'data').then(([answer]) => t.match(answer, /^HTTP\/1\.1 408 /)),
  ])
  if (!socket.destroyed) await once(socket, 'close')
  t.pass('its connection closes, though the client keeps it open')
})

t.test('a client that disconnects during a request leaves nothing behind', async (t) => {
  const issuer = await startIssuer(t)
  const { port } = await issuer.listen()
  const sockets = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'))
  const body = JSON.stringify({ username: 'ada', password })
  const starts = [`application/json\r\n\r\n${body.slice(0, 10)}`, 'text/plain\r\n\r\n']
  const closed = sockets.map((socket, n) => {
    socket.write(
      `POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nContent-Type: ${starts[n % 2]}`,
      () => socket.destroy(),
    )
    return once(socket, 'close')
  })
  await Promise.all(closed)
  const open = () =>
    new Promise<number>((resolve) =>
      issuer.app.server.getConnections((_error, count) => resolve(count)),
    )
  const { server } = issuer.app
  // Disconnected by the time that its handler runs, the client has no address.
  server.prependListener('request', ({ socket, method }, response) => {
    if (method === 'GET') socket.destroy()
    else response.req.once('end', () => socket.destroy())
  })
  const answers = [
    sendRaw(issuer, 'GET /revocations/stream HTTP/1.1\r\nHost: x\r\n\r\n'),
    sendRaw(
      issuer,
      `POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nContent-Type: application/json\r\n\r\n${body}`,
    ),
  ]
  t.same(await Promise.all(answers), ['', ''])
  while ((await open()) > 0) await new Promise(setImmediate)
  t.same(
    issuer.lines.filter(({ code }) => code === 'internal_error'),
    [],
  )
  t.equal((await issuer.login()).statusCode, 200)
  const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  t.equal((await issuer.sessions.listBySub(sub, issuer.clock.nowMs())).length, 1)
})

t.test('an internal error is logged, and its details are hidden from the client', async (t) => {
  const issuer = await startIssuer(t)
  issuer.accounts.findByLoginName = async () => {
    throw new Error('the innards: table accounts')
  }
  const response = await issuer.login()
  t.match(response.json(), { status: 500, code: 'internal_error', request_id: String })
  t.notMatch(response.body, /innards/)
  const line = issuer.lines.find(({ code }) => code === 'internal_error')
  t.match(line, { level: 50, method: 'POST', route: '/login', err: { message: /innards/ } })
  const attempts = 30
  for (let n = 0; n < attempts; n++) await issuer.login()
  const failed = issuer.lines.filter(({ msg }) => msg === 'failed')
  t.equal(failed.length, 1 + attempts)
  const errors = failed.filter(({ level }) => level === 50)
  t.ok(errors.length < attempts, 'an error that repeats is logged once a second')
  t.comment('the clients of requests that outlast the shutdown have left')
  issuer.accounts.findByLoginName = async () => {
    throw new GatepassError('shutting_down')
  }
  t.equal((await issuer.login()).statusCode, 503)
  const refused = issuer.lines.find(({ code }) => code === 'shutting_down')
  t.match(refused, { level: 20, msg: 'refused' })
})

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const uuid = /^[0-9a-f]{8}-[0-9a-f-]{27}$/

t.test('uses a valid request id of the caller, or generates one', async (t) => {
  const id = (headers: Record<string, string>) => requestIdOf({ headers })
  t.equal(id({ traceparent: `00-${trace}-00f067aa0ba902b7-01` }), trace)
  t.equal(id({ 'x-request-id': 'abc_DEF-12345' }), 'abc_DEF-12345')
  t.match(id({ traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` }), uuid)
  for (const bad of [
    'short',
    'x'.repeat(65),
    'with space',
    'a.b.c.d.e.f',
    'gpr_abc.0.def',
    'a\nb123456',
  ]) {
    t.match(id({ 'x-request-id': bad }), uuid, bad)
  }
  t.match(id({}), uuid)
})

t.test('the request id is in the audit event and in the problem document', async (t) => {
  const issuer = await startIssuer(t)
  const response = await issuer.call({
    method: 'POST',
    url: '/login',
    body: { username: 'ada', password: 'wrong password' },
    headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
  })
  t.equal(response.json().request_id, trace)
  t.match(issuer.audit().at(-1), { event: 'login.failed', request_id: trace })
})
