import t from 'tap'
import { DpopProver } from '../../src/browser/dpop.ts'
import { IssuerCalls } from '../../src/browser/issuer-calls.ts'
import { browser } from '../../src/browser/platform.ts'
import { parseDpopProof } from '../../src/tokens/dpop-proof.ts'

/** RFC 9449 §8: how the client answers a server that asks for its nonce. */

const issuer = 'https://auth.example.com'
const makeKeys = () =>
  crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])

/** Calls of a server that gives these answers, and what it received. */
function callsOf(answers: Response[]) {
  const received: { nonce: string | null; jti: string; body: string }[] = []
  const platform = {
    ...browser,
    async fetch(request: Request) {
      const { nonce, jti } = parseDpopProof(request.headers.get('dpop') ?? '').claims
      received.push({ nonce, jti, body: await request.text() })
      return answers.shift() ?? new Response(null, { status: 204 })
    },
  }
  return { received, calls: new IssuerCalls(issuer, platform, new DpopProver(makeKeys)) }
}

function asks(nonce: string): Response {
  const headers = { 'dpop-nonce': nonce }
  return Response.json({ code: 'use_dpop_nonce' }, { status: 401, headers })
}

function answers(nonce: string): Response {
  return new Response('{}', { headers: { 'dpop-nonce': nonce } })
}

t.test('a request is repeated once, with the nonce and a new proof', async (t) => {
  const { calls, received } = callsOf([asks('one'), answers('one')])
  t.same(await calls.post('/login', { body: 'a body' }), {})
  t.match(received, [
    { nonce: null, body: 'a body' },
    { nonce: 'one', body: 'a body' },
  ])
  t.not(received[0]?.jti, received[1]?.jti)
})

t.test('the newest nonce of any answer is used next', async (t) => {
  const refused = new Response('{"code":"credentials_invalid"}', {
    status: 401,
    headers: { 'dpop-nonce': 'three' },
  })
  const { calls, received } = callsOf([asks('one'), answers('two'), refused])
  await calls.post('/login', {})
  await t.rejects(calls.post('/login', {}), { code: 'credentials_invalid' })
  await calls.post('/logout', {})
  t.same(
    received.map(({ nonce }) => nonce),
    [null, 'one', 'two', 'three'],
    'and no other refusal is repeated',
  )
})

t.test('a request that the browser has sent twice is repeated with a new proof', async (t) => {
  const replayed = Response.json({ code: 'dpop_proof_replayed' }, { status: 401 })
  const { calls, received } = callsOf([asks('one'), replayed])
  t.equal(await calls.post('/refresh', {}), null)
  t.same(
    received.map(({ nonce }) => nonce),
    [null, 'one', 'one'],
  )
  t.equal(new Set(received.map(({ jti }) => jti)).size, 3)
})

t.test('a server that asks again and again is refused', async (t) => {
  const { calls, received } = callsOf(['one', 'two', 'three', 'four'].map(asks))
  await t.rejects(calls.post('/refresh', {}), { code: 'use_dpop_nonce', status: 401 })
  t.equal(received.length, 3)
})

const token = {
  access_token: 'a.b.c',
  token_type: 'DPoP',
  expires_in: 300,
  scope: '',
  session_id: 'sid',
}

t.test('a request to an API with a body is repeated as well', async (t) => {
  const { calls, received } = callsOf([asks('one'), answers('one')])
  const request = new Request(`${issuer}/orders`, { method: 'POST', body: 'an order' })
  t.equal((await calls.send(request, token)).status, 200)
  t.match(received, [{ body: 'an order' }, { nonce: 'one', body: 'an order' }])
})

t.test('a failure of an API is returned before its body has ended', async (t) => {
  const endless = new ReadableStream({ start: (body) => body.enqueue(new Uint8Array(1)) })
  const broken = new ReadableStream({ start: (body) => body.error(new Error('it breaks off')) })
  const { calls } = callsOf([endless, broken].map((body) => new Response(body, { status: 500 })))
  for (let count = 0; count < 2; count++) {
    t.equal((await calls.send(new Request(`${issuer}/orders`), token)).status, 500)
  }
})
