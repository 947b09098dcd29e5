import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import t, { type Test } from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import {
  type ConnectMiddleware,
  type ConnectRequest,
  requireToken,
} from '../../src/verifier/express.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { claimsWith, mint } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'

const verifier = createVerifier(options)
const authorization = `Bearer ${mint(keyOf('ES256'))}`
const answer = (request: ConnectRequest, response: ServerResponse) =>
  void response.end(JSON.stringify(request.auth))

async function listen(
  t: Test,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('guards the routes of an Express application', async (t) => {
  const app = express()
  app.set('env', 'test')
  app.get('/read', requireToken(verifier, { scope: 'orders:read' }), answer)
  app.get('/write', requireToken(verifier, { scope: 'orders:write' }), answer)
  const codes: string[] = []
  app.use((error: unknown, _request: unknown, response: ServerResponse, _next: unknown) => {
    if (!isGatepassError(error)) return void response.end()
    codes.push(error.code)
    response.statusCode = error.status
    response.end()
  })
  const url = await listen(t, app)
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
  t.same(codes, ['token_missing', 'scope_insufficient'])
})

t.test('what Express does with an error by itself is right too', async (t) => {
  const app = express()
  app.set('env', 'production')
  app.use(requireToken(verifier))
  const response = await fetch(await listen(t, app))
  t.equal(response.status, 401)
  t.equal(response.headers.get('www-authenticate'), 'Bearer')
})

t.test('works without Express', async (t) => {
  const guard: ConnectMiddleware = requireToken(verifier)
  const url = await listen(t, (request, response) =>
    guard(request, response, (error) => {
      if (error !== undefined) response.statusCode = 401
      answer(request, response)
    }),
  )
  t.same(await (await fetch(url, { headers: { authorization } })).json(), claimsWith())
  t.equal((await fetch(url)).status, 401)
})

t.test('a misspelt demand stops the start', async (t) => {
  t.throws(() => requireToken(verifier, { scopes: 'a' } as never), { code: 'config_invalid' })
})
