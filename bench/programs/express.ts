import type { RequestListener, ServerResponse } from 'node:http'
import express from 'express'
import { importGatepass } from './packages.ts'
import { serveListener } from './serve.ts'

/**
 * A route of Express that answers everything with the same text, bare or guarded.
 * `express <guard> <text> [<issuer> <audience> <jwksUri>]`
 */

const [guard = '', text = '{}', issuer = '', audience = '', jwksUri = ''] = process.argv.slice(2)

type Middleware = (...parameters: never[]) => unknown

const guards: Readonly<Record<string, () => Promise<Middleware>>> = {
  bare: async () => (_request: never, _response: never, next: () => void) => next(),
  gatepass: async () => {
    const { createVerifier } = await importGatepass('verifier')
    const { requireToken } = await importGatepass('express')
    return requireToken(createVerifier({ issuer, audience, jwksUri }))
  },
  'express-oauth2-jwt-bearer': async () => {
    const { auth } = await import('express-oauth2-jwt-bearer')
    return auth({ issuer, audience, jwksUri })
  },
}

const middleware = await guards[guard]?.()
if (middleware === undefined) throw new Error(`there is no guard ${guard}`)
const app = express()
app.use(middleware)
app.get('/verify', (_request: never, response: ServerResponse) => {
  response.setHeader('content-type', 'application/json').end(text)
})
// That of Express prints every refusal.
app.use((error: { status?: number }, _request: never, response: ServerResponse, _next: never) => {
  response.writeHead(error.status ?? 500).end()
})
await serveListener(app as unknown as RequestListener)
