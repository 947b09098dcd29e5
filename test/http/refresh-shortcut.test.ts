import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  issuerUrl,
  startIssuer,
  type TestIssuer,
  type TestIssuerOptions,
} from '../support/issuer.ts'

const frontEnd = 'https://shop.example.com'
const cookieName = '__Host-gatepass'
const afterGrace_s = 10
const json = { 'content-type': 'application/json' }

interface Call {
  readonly headers: Record<string, string>
  /** The parts that the body is sent in. */
  readonly body?: readonly string[]
}

interface Answer {
  readonly status: number | undefined
  readonly headers: Record<string, unknown>
  readonly body: Record<string, unknown>
}

/** An issuer on a socket, where the shortcut is; `inject` goes straight to the route. */
async function start(t: Test, options: TestIssuerOptions = {}) {
  const issuer = await startIssuer(t, { ...options, logLevel: 'info' })
  await issuer.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = issuer.app.server.address() as AddressInfo
  let routed = 0
  const count = () => {
    routed += 1
  }
  subscribe('tracing:fastify.request.handler:start', count)
  t.teardown(() => unsubscribe('tracing:fastify.request.handler:start', count))
  return {
    issuer,
    /** How many requests a route has handled. */
    routed: () => routed,
    /** Asks on a socket. */
    async ask({ headers, body = [] }: Call): Promise<Answer> {
      const sent = request({ port, path: '/refresh', method: 'POST', headers, agent: false })
      const answered = once(sent, 'response')
      for (const part of body) {
        sent.write(part)
        await turn()
      }
      sent.end()
      const [response] = await answered
      return answerOf(response.statusCode, response.headers, await text(response))
    },
    /** Asks the route. */
    async askRoute({ headers, body }: Call): Promise<Answer> {
      const payload = body === undefined ? {} : { payload: body.join('') }
      const request = { method: 'POST', url: '/refresh', headers, ...payload } as const
      const response = await issuer.call(request)
      return answerOf(response.statusCode, response.headers, response.body)
    },
  }
}

/** Without what differs by itself: tokens, ids, the time, and what keeps a connection. */
function answerOf(status: number | undefined, headers: object, body: string): Answer {
  const { date, connection, 'keep-alive': _, ...kept } = headers as Record<string, unknown>
  // As one text or as a list.
  if ('set-cookie' in kept) kept['set-cookie'] = [kept['set-cookie']].flat()
  const plain = JSON.stringify([kept, JSON.parse(body)])
    .replaceAll(/gpr_[\w.-]+/g, 'refresh token')
    .replaceAll(/eyJ[\w.-]+/g, 'access token')
    .replaceAll(/"(session_id|request_id)":"[^"]+"/g, '"$1":"an id"')
    // The generation in a refused token is part of its length.
    .replaceAll(/"content-length":"?\d+"?/g, '"content-length":"n"')
  const [sameHeaders, sameBody] = JSON.parse(plain)
  return { status, headers: sameHeaders, body: sameBody }
}

async function signedIn(issuer: TestIssuer): Promise<string> {
  const { refresh_token } = await issuer.signIn()
  return refresh_token
}

const inBody = (token: string): Call => {
  const body = JSON.stringify({ refresh_token: token })
  return { headers: { ...json, 'content-length': String(body.length) }, body: [body] }
}
const inCookie = (token: string, headers: Record<string, string> = {}): Call => ({
  headers: { cookie: `theme=dark; ${cookieName}=${token}`, ...headers },
})

t.test('the answer is that of the route, and is told and counted alike', async (t) => {
  const { issuer, ask, askRoute, routed } = await start(t)
  // Many clients name the type of a body that they do not send.
  const inCookieOnly = (token: string) => inCookie(token, json)
  for (const call of [inBody, inCookie, inCookieOnly]) {
    const [one, other] = [await signedIn(issuer), await signedIn(issuer)]
    issuer.clock.advance_s(afterGrace_s)
    const before = routed()
    const short = await ask(call(one))
    t.equal(routed(), before, 'no route is asked')
    t.equal(short.status, 200)
    t.same(short, await askRoute(call(other)))
    t.equal(routed(), before + 1)
  }
  const rotated = issuer.audit().filter(({ event }) => event === 'refresh.rotated')
  t.equal(rotated.length, 6)
  const figures = await issuer.metrics.registry.metrics()
  t.match(figures, /duration_seconds_count\{method="POST",route="\/refresh",status="200"\} 6\n/)
})

t.test('front ends of other origins are told the same', async (t) => {
  const { issuer, ask, askRoute } = await start(t, { allowedOrigins: [frontEnd] })
  for (const origin of [frontEnd, issuerUrl, undefined]) {
    const headers: Record<string, string> = origin === undefined ? {} : { origin }
    const tokens = [await signedIn(issuer), await signedIn(issuer)]
    const short = await ask(inCookie(tokens[0] ?? '', headers))
    t.equal(short.status, 200)
    t.same(short, await askRoute(inCookie(tokens[1] ?? '', headers)), String(origin))
  }
})

t.test('a cookie that was overtaken is not set again', async (t) => {
  const { issuer, ask } = await start(t)
  const token = await signedIn(issuer)
  t.match((await ask(inCookie(token))).headers, { 'set-cookie': [/refresh token; Max-Age=/] })
  issuer.clock.advance_s(afterGrace_s - 1)
  t.notOk('set-cookie' in (await ask(inCookie(token))).headers)
})

t.test('a key of a refresh attempt is kept', async (t) => {
  const { issuer, ask, routed } = await start(t)
  const token = await signedIn(issuer)
  const call = inCookie(token, { 'idempotency-key': '"once"' })
  for (const _ of ['lost', 'again']) {
    issuer.clock.advance_s(100)
    const before = routed()
    t.equal((await ask(call)).status, 200)
    t.equal(routed(), before)
  }
})

t.test('each refusal is that of the route, and happens once', async (t) => {
  const { issuer, ask, askRoute, routed } = await start(t)
  const used = async () => {
    const token = await signedIn(issuer)
    for (const _ of ['rotated', 'over grace']) {
      issuer.clock.advance_s(afterGrace_s)
      await issuer.refresh(token)
    }
    return token
  }
  const rows: [string, string, Call, Call][] = []
  for (const call of [inBody, inCookie]) {
    rows.push(['refresh_token_revoked', 'refused', call(await used()), call(await used())])
    const wrong = call(`${(await signedIn(issuer)).slice(0, -3)}AAA`)
    rows.push(['refresh_token_malformed', '', wrong, wrong])
  }
  for (const [code, event, call, same] of rows) {
    const [audited, before] = [issuer.audit().length, routed()]
    const id = { 'x-request-id': 'a-request-of-mine' }
    const short = await ask({ ...call, headers: { ...call.headers, ...id } })
    t.equal(routed(), before + 1)
    t.match(short, { status: 401, body: { code } })
    const lines = issuer.audit().slice(audited)
    const expected = event && { event: `refresh.${event}`, request_id: 'a-request-of-mine' }
    t.match(lines, expected === '' ? [] : [expected])
    t.equal(lines.length, expected === '' ? 0 : 1)
    t.same(short, await askRoute(same), code)
  }
})

t.test('reuse is found, and told under the id that the client is told', async (t) => {
  const { issuer, ask } = await start(t)
  const token = await signedIn(issuer)
  issuer.clock.advance_s(afterGrace_s)
  await ask(inBody(token))
  issuer.clock.advance_s(afterGrace_s)
  const refused = await ask(inBody(token))
  t.match(refused, { status: 401, body: { code: 'refresh_token_reused', request_id: 'an id' } })
  t.equal(issuer.audit().filter(({ event }) => event === 'refresh.reused').length, 1)
})

t.test('what is not plain is for the route', async (t) => {
  const { issuer, ask, askRoute, routed } = await start(t)
  const token = await signedIn(issuer)
  const body = (text: string, headers: Record<string, string> = json): Call => ({
    headers: { ...headers, 'content-length': String(Buffer.byteLength(text)) },
    body: [text],
  })
  const whole = JSON.stringify({ refresh_token: token })
  const cookie = `${cookieName}=${token}`
  const rows: [number, Call][] = [
    [200, body(whole.replace('gpr', '\\u0067pr'))],
    [200, { headers: { ...json, 'transfer-encoding': 'chunked' }, body: [whole] }],
    [200, body(whole, { 'content-type': 'application/json; charset=utf-8' })],
    [200, body('{}', { ...json, cookie })],
    [400, body('{"refresh_token":')],
    [400, body(`{"refresh_token":"a","__proto__":{}}`)],
    [401, body('{}')],
    [401, { headers: {} }],
    [401, { headers: { cookie: 'theme=dark' } }],
    [400, { headers: { cookie: `${cookie}; ${cookie}` } }],
    [403, { headers: { cookie, 'sec-fetch-site': 'cross-site' } }],
    [403, { headers: { cookie, origin: frontEnd } }],
    [401, { headers: { cookie, dpop: 'not a proof' } }],
    [415, body(whole, { 'content-type': 'text/plain' })],
    [422, body(JSON.stringify({ refresh_token: token, more: 1 }))],
    [422, body('{"refresh_token":7}')],
    [422, { headers: { cookie, 'idempotency-key': 'a'.repeat(256) } }],
  ]
  for (const [status, call] of rows) {
    const before = routed()
    const [onSocket, byRoute] = [await ask(call), await askRoute(call)]
    t.equal(onSocket.status, status, JSON.stringify(call))
    t.same(onSocket, byRoute, JSON.stringify(call))
    if (status === 200) t.equal(routed(), before + 2, 'the route has answered both')
  }
})

t.test('a body that comes in parts is read to its end', async (t) => {
  const { issuer, ask } = await start(t)
  const { headers, body = [] } = inBody(await signedIn(issuer))
  const parts = [(body[0] ?? '').slice(0, 30), (body[0] ?? '').slice(30)]
  t.equal((await ask({ headers, body: parts })).status, 200)
})
