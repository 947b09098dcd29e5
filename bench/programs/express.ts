import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import { importGatepass } from './packages.ts'
import { serveListener } from './serve.ts'

/**
 * A route of Express that always answers with the same text, bare or guarded.
 * `express <guard> <text> [<issuer> <audience> <jwksUri>]`
 */

const [guard = '', text = '{}', issuer = '', audience = '', jwksUri = ''] = process.argv.slice(2)

const guards: Readonly<Record<string, () => Promise<RequestHandler>>> = {
  bare: async () => (_request, _response, next) => next(),
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
app.get('/verify', (_request, response) => {
  response.setHeader('content-type', 'application/json').end(text)
})
/** The error handler of Express prints every refusal. */
const answerError: ErrorRequestHandler = (error, _request, response, _next) => {
  response.writeHead(error.status ?? 500).end()
}
app.use(answerError)
await serveListener(app)
