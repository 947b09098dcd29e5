import type { ServerResponse } from 'node:http'
import express from 'express'
import t from 'tap'
import {
  type ConnectMiddleware,
  type ConnectRequest,
  requireToken,
} from '../../src/verifier/express.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { startHttpServer } from '../support/http-server.ts'
import { claimsWith, mint } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'

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

t.test('a misspelt requirement prevents the start', async (t) => {
  t.throws(() => requireToken(verifier, { scopes: 'a' } as never), { code: 'config_invalid' })
})
