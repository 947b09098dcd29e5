import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { auth } from 'express-oauth2-jwt-bearer'
import { requireToken } from '../../../src/verifier/express.ts'
import { createVerifier } from '../../../src/verifier/verifier.ts'

/** A route of Express that answers everything with the same text, bare or guarded. */

const [body = '{}', issuer = '', audience = '', jwksUri = '', guard = ''] = process.argv.slice(2)

const guards: Readonly<Record<string, () => ReturnType<typeof auth>>> = {
  bare: () => (_request: never, _response: never, next: () => void) => next(),
  gatepass: () => requireToken(createVerifier({ issuer, audience, jwksUri })),
  'express-oauth2-jwt-bearer': () => auth({ issuer, audience, jwksUri }),
}

const middleware = guards[guard]?.()
if (middleware === undefined) throw new Error(`there is no guard ${guard}`)
const app = express()
app.use(middleware)
app.get('/verify', (_request: never, response: ExpressResponse) => {
  response.type('application/json').send(body)
})

// With its own, every refusal is printed.
app.use((error: { status?: number }, _request: never, response: ExpressResponse, _next: never) => {
  response.status(error.status ?? 500).send('')
})

interface ExpressResponse {
  status(code: number): ExpressResponse
  type(name: string): ExpressResponse
  send(text: string): void
}

const server = createServer(app)
process.once('disconnect', () => process.exit())
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.send?.({ type: 'ready', port })
})
