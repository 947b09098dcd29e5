import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startIssuer, type TestIssuerOptions } from '../support/issuer.ts'

/** The forms in which `/refresh` arrives on a socket. */

const frontEnd = 'https://shop.example.com'
const cookieName = '__Host-gatepass'
const graceSeconds = 10
const json = { 'content-type': 'application/json' }

interface Call {
  readonly headers: Record<string, string>
  /** The chunks that the body is sent in. */
  readonly body?: readonly string[]
}

async function start(t: Test, options: TestIssuerOptions = {}) {
  const issuer = await startIssuer(t, { ...options, logLevel: 'info' })
  const { port } = await issuer.listen()
  async function refresh({ headers, body = [] }: Call) {
    const sent = request({ port, path: '/refresh', method: 'POST', headers, agent: false })
    const answered = once(sent, 'response')
    for (const chunk of body) {
      sent.write(chunk)
      await turn()
    }
    sent.end()
    const [response] = await answered
    return {
      status: response.statusCode as number,
      headers: response.headers as Record<string, unknown>,
      body: JSON.parse(await text(response)),
    }
  }
  const signIn = async () => (await issuer.signIn()).refresh_token
  return { issuer, refresh, signIn }
}

const inBody = (token: string): Call => {
  const body = JSON.stringify({ refresh_token: token })
  return { headers: { ...json, 'content-length': String(body.length) }, body: [body] }
}
const inCookie = (token: string, headers: Record<string, string> = {}): Call => ({
  headers: { cookie: `theme=dark; ${cookieName}=${token}`, ...headers },
})
// Many clients send a content type without a body.
const inCookieWithType = (token: string) => inCookie(token, json)

t.test('a token in the body or in the cookie is refreshed, audited and counted', async (t) => {
  const { issuer, refresh, signIn } = await start(t)
  for (const call of [inBody, inCookie, inCookieWithType]) {
    const token = await signIn()
    issuer.clock.advance_s(graceSeconds)
    t.equal((await refresh(call(token))).status, 200)
  }
  const rotated = issuer.audit().filter(({ event }) => event === 'refresh.rotated')
  t.equal(rotated.length, 3)
  const figures = await issuer.metrics.registry.metrics()
  t.match(figures, /duration_seconds_count\{method="POST",route="\/refresh",status="200"\} 3\n/)
})

t.test('a body may arrive in chunks', async (t) => {
  const { refresh, signIn } = await start(t)
  const { headers, body = [] } = inBody(await signIn())
  const chunks = [(body[0] ?? '').slice(0, 30), (body[0] ?? '').slice(30)]
  t.equal((await refresh({ headers, body: chunks })).status, 200)
})

t.test('a refusal is audited once, with the request id of the client', async (t) => {
  const { issuer, refresh, signIn } = await start(t)
  const token = await signIn()
  for (const call of [inBody, inCookie, inBody]) {
    issuer.clock.advance_s(graceSeconds)
    const { headers, body = [] } = call(token)
    const id = { 'x-request-id': 'a-request-of-mine' }
    await refresh({ headers: { ...headers, ...id }, body })
  }
  const refused = { request_id: 'a-request-of-mine' }
  t.match(issuer.audit().slice(-3), [
    { event: 'refresh.rotated', ...refused },
    { event: 'refresh.reused', ...refused },
    { event: 'refresh.refused', ...refused },
  ])
})

t.test('each malformed refresh has its status', async (t) => {
  const { refresh, signIn } = await start(t)
  const token = await signIn()
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
    t.equal((await refresh(call)).status, status, JSON.stringify(call))
  }
})
