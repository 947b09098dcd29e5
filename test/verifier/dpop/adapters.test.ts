import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import express from 'express'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { requireToken, resourceMetadata } from '../../../src/verifier/express.ts'
import { gatepassAuth } from '../../../src/verifier/fastify.ts'
import { tokenGuard } from '../../../src/verifier/fetch.ts'
import { createVerifier } from '../../../src/verifier/verifier.ts'
import { FakeClock } from '../../support/clock.ts'
import { makeProof, makeProofKey } from '../../support/dpop.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'

type End = { end(): void }

const publicUrl = 'https://api.test'
const signingKey = makeKey('ES256')
const key = await makeProofKey()
const bound = mint(signingKey, { payload: claimsWith({ cnf: { jkt: key.jkt } }) })

function makeVerifier(t: Test) {
  const jwks = { keys: [signingKey.publicJwk] }
  const verifier = createVerifier({ issuer, audience, jwks, clock: new FakeClock(now_s * 1000) })
  t.teardown(() => verifier.close())
  return verifier
}

async function headersFor(path: string): Promise<Record<string, string>> {
  const dpop = await makeProof(key, { htu: `${publicUrl}${path}`, iat: now_s, token: bound })
  return { authorization: `DPoP ${bound}`, dpop }
}

t.test('Express: several guards of one request take one proof', async (t) => {
  const verifier = makeVerifier(t)
  const guard = (scope?: string) =>
    requireToken(verifier, { publicUrl, ...(scope !== undefined && { scope }) })
  const app = express()
  app.set('env', 'production')
  app.use(guard())
  app.get('/orders', guard('orders:read'), (_request: unknown, response: End) => response.end())
  app.get('/admin', guard('admin'))
  const { url } = await startHttpServer(t, app)
  const headers = await headersFor('/orders')
  t.equal((await fetch(`${url}/orders`, { headers })).status, 200)
  t.equal((await fetch(`${url}/orders`, { headers })).status, 401, 'a replay')
  t.equal((await fetch(`${url}/admin`, { headers: await headersFor('/admin') })).status, 403)
})

t.test('Express: a trusted proxy describes the address', async (t) => {
  const forwarded = { 'x-forwarded-host': 'api.test:8443', 'x-forwarded-proto': 'https' }
  for (const [trustProxy, htu, status] of [
    [true, 'https://api.test:8443/orders', 200],
    [false, 'https://api.test:8443/orders', 401],
    [false, undefined, 200],
  ] as const) {
    const app = express()
    app.set('trust proxy', trustProxy)
    app.use(requireToken(makeVerifier(t)), (_q: unknown, response: End) => response.end())
    const { url } = await startHttpServer(t, app)
    const parts = { htu: htu ?? `${url}/orders`, iat: now_s, token: bound }
    const headers = { authorization: `DPoP ${bound}`, dpop: await makeProof(key, parts) }
    const response = await fetch(`${url}/orders`, { headers: { ...headers, ...forwarded } })
    t.equal(response.status, status, `${trustProxy} ${htu}`)
  }
})

t.test('without Express, the address has the scheme of the connection', async (t) => {
  for (const encrypted of [true, undefined]) {
    const guard = requireToken(makeVerifier(t))
    const headers = { host: 'api.test', ...(await headersFor('/orders')) }
    const request = { method: 'GET', url: '/orders', headers, socket: { encrypted } }
    const answer = await new Promise((resolve) => {
      const response = { setHeader: () => {}, end: () => resolve('refused') }
      guard(request as never, response as never, () => resolve('accepted'))
    })
    t.equal(answer, encrypted ? 'accepted' : 'refused')
  }
})

t.test('a request target may have the absolute form', async (t) => {
  const verifier = makeVerifier(t)
  const app = express()
  app.use(resourceMetadata(verifier, publicUrl))
  app.get('/orders', requireToken(verifier, { publicUrl }), (_q: unknown, response: End) =>
    response.end(),
  )
  app.get('/seen', requireToken(verifier), (_q: unknown, response: End) => response.end())
  const fastify = Fastify()
  t.teardown(() => fastify.close())
  await fastify.register(gatepassAuth, { verifier, publicUrl, resource: publicUrl })
  fastify.get('/orders', () => 'ok')
  const base = 'http://api.test'
  for (const [server, path, proven] of [
    [await startHttpServer(t, app), '/orders?full', '/orders'],
    [await startHttpServer(t, app), '/seen', null],
    [await startHttpServer(t, app), '/.well-known/oauth-protected-resource', '/'],
    [{ url: await fastify.listen({ port: 0, host: '127.0.0.1' }) }, '/orders?full', '/orders'],
  ] as const) {
    const dpop = await makeProof(key, { htu: `${base}${path}`, iat: now_s, token: bound })
    const own = { authorization: `DPoP ${bound}`, dpop, host: 'api.test' }
    const headers = proven === null ? own : { ...own, ...(await headersFor(proven)) }
    const sent = get(server.url, { path: `${base}${path}`, headers })
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    response.resume()
    t.equal(response.statusCode, 200, path)
  }
})

t.test('Fetch: several guards of one request take one proof', async (t) => {
  const verifier = makeVerifier(t)
  const [any, read] = [undefined, 'orders:read'].map((scope) =>
    tokenGuard(verifier, { publicUrl, ...(scope !== undefined && { scope }) }),
  )
  const headers = await headersFor('/orders')
  const request = new Request(`${publicUrl}/orders`, { headers })
  for (const guard of [any, read]) t.match(await guard?.(request), { refusal: null })
  const replay = await any?.(new Request(`${publicUrl}/orders`, { headers }))
  t.equal(replay?.refusal?.status, 401)
})

t.test('Fastify: a handler checks the request again', async (t) => {
  const verifier = makeVerifier(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(gatepassAuth, { verifier, publicUrl })
  app.get('/orders', async (request) => {
    const proof = String(request.headers.dpop)
    const dpop = { proof, method: 'GET', uri: `${publicUrl}/orders`, request }
    return verifier.verify(bound, { dpop, scope: 'orders:read' })
  })
  const headers = await headersFor('/orders')
  t.equal((await app.inject({ url: '/orders', headers })).statusCode, 200)
  t.equal((await app.inject({ url: '/orders', headers })).statusCode, 401, 'a replay')
})
