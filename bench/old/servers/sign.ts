import { generateKeyPairSync, sign } from 'node:crypto'
import fastify from 'fastify'
import { serve } from './ready.ts'

/** The least that a refresh can do: read JSON, sign once, send JSON; no state, no check. */

const [signingInput = ''] = process.argv.slice(2)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const app = fastify()
app.post('*', () => {
  const signature = sign('sha256', Buffer.from(signingInput), privateKey).toString('base64url')
  return { access_token: `${signingInput}.${signature}`, token_type: 'Bearer', expires_in: 300 }
})
await serve(app)
