/** Compiles with the types of Express beside the verifier. */
import { createVerifier } from '@gatepass/verifier'
import { requireToken } from '@gatepass/verifier/express'
import express, { type Response } from 'express'

const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: null })
export const app = express()
app.use(requireToken(verifier))
app.get('/orders', requireToken(verifier, { scope: 'orders:read' }), (request, response) => {
  const user: string | undefined = request.auth?.sub
  response.json({ user })
})
app.get('/open', (request, response) => {
  // @ts-expect-error: a route may stand without the guard
  response.json({ user: request.auth.sub })
})
app.use(
  requireToken(verifier, {
    onRefused: ({ code }, _request, response: Response) => response.json({ error: code }),
  }),
)
