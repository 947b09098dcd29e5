import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import express from 'express'
import t from 'tap'
import {
  type ConnectMiddleware,
  type ConnectRequest,
  requireToken,
} from '../../src/verifier/express.ts'
import { tokenGuard } from '../../src/verifier/fetch.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { startHttpServer } from '../support/http-server.ts'
import { claimsWith, mint, now_s } from '../support/tokens.ts'
import { until } from '../support/until.ts'
import { keyOf, options } from './harness.ts'
import { JwksServer } from './jwks-server.ts'

const verifier = createVerifier(options)
const authorization = `Bearer ${mint(keyOf('ES256'))}`
const answer = (request: ConnectRequest, response: ServerResponse) =>
  void response.end(JSON.stringify(request.auth))

t.test('guards the routes of an Express application', async (t) => {
  const app = express()
  app.set('env', 'test')
  app.get('/read', requireToken(verifier, { scope: 'orders:read' }), answer)
  app.get('/write', requireToken(verifier, { scope: 'orders:write' }), answer)
  const { url } = await startHttpServer(t, app)
  for (const headers of [{ authorization }, { authorization }]) {
    const good = await fetch(`${url}/read`, { headers })
    t.same(await good.json(), claimsWith())
  }
  const none = await fetch(`${url}/read`)
  t.equal(none.status, 401)
  t.equal(none.headers.get('www-authenticate'), 'Bearer')
  const short = await fetch(`${url}/write`, { headers: { authorization } })
  t.equal(short.status, 403)
  t.match(short.headers.get('www-authenticate'), 'scope="orders:write"')
})

t.test('works without Express', async (t) => {
  const guard: ConnectMiddleware = requireToken(verifier)
  const { url } = await startHttpServer(t, (request, response) =>
    guard(request, response, () => answer(request, response)),
  )
  t.same(await (await fetch(url, { headers: { authorization } })).json(), claimsWith())
  t.equal((await fetch(url)).status, 401)
})

t.test('a refusal after the response of the application changes nothing', async (t) => {
  const server = await JwksServer.open(t, () => {})
  for (const onRefused of [undefined, () => t.fail('nobody is left to be refused')]) {
    const waiting = createVerifier({ issuer: server.issuer, audience: null })
    t.teardown(() => waiting.close())
    const guard = requireToken(waiting, onRefused && { onRefused })
    const { url } = await startHttpServer(t, (request, response) => {
      guard(request, response, () => t.fail('without keys, no token is accepted'))
      server.answer = (_request, answer) => {
        // A verifier fetches again after a failure.
        if (!response.headersSent) response.writeHead(504).end()
        answer.writeHead(500).end()
      }
    })
    t.equal((await fetch(url, { headers: { authorization } })).status, 504)
    await until('it is refused', () => waiting.status().outcomes.keys_unavailable === 1)
  }
})

t.test('accepts a DPoP proof over HTTP/2, for the host of the request', async (t) => {
  const key = await makeProofKey()
  const token = mint(keyOf('ES256'), { payload: claimsWith({ cnf: { jkt: key.jkt } }) })
  const guard: ConnectMiddleware = requireToken(verifier)
  const server = createHttp2Server((request, response) =>
    guard(request, response, () => void response.end()),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const session = connect(url)
  t.teardown(() => {
    session.close()
    server.close()
  })
  for (const [htu, status] of [
    [`${url}/orders`, 200],
    ['http://other.test/orders', 401],
  ] as const) {
    const dpop = await makeProof(key, { htu, iat: now_s, token })
    const stream = session.request({ ':path': '/orders', authorization: `DPoP ${token}`, dpop })
    const [headers] = await once(stream.resume(), 'response')
    t.equal(headers[':status'], status, htu)
  }
})

t.test('a misspelt requirement prevents the start', async (t) => {
  t.throws(() => requireToken(verifier, { scopes: 'a' } as never), {
    message: 'There is no requirement scopes.',
  })
  t.throws(() => requireToken(verifier, { scope: 'a', dpop: 'no' } as never), {
    message: 'The requirement dpop must be true or false.',
  })
  for (const given of [{ scopes: 'a' }, null, ['a'], 'a']) {
    t.throws(() => requireToken(verifier, given as never), { code: 'config_invalid' })
    t.throws(() => tokenGuard(verifier, given as never), { code: 'config_invalid' })
  }
  for (const other of [undefined, null, 'https://auth.example.com', options]) {
    const refusal = { code: 'config_invalid', message: /createVerifier/ }
    t.throws(() => requireToken(other as never), refusal)
    t.throws(() => requireToken(other as never, { resource: 'https://api.test' }), refusal)
  }
})
