import { generateKeyPairSync, sign } from 'node:crypto'
import fastify from 'fastify'
import { serve } from './serve.ts'

/** The least that a refresh can do: read JSON, sign once, send JSON; no state, no check. */

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
/** As long as the header and claims of an access token. */
const signingInput = 'a'.repeat(550)
const app = fastify()
app.post('*', () => {
  const signature = sign('sha256', Buffer.from(signingInput), privateKey).toString('base64url')
  return { access_token: `${signingInput}.${signature}`, token_type: 'Bearer', expires_in: 300 }
})
await serve(app)
