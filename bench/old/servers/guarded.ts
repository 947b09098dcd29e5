import fastify from 'fastify'
import { gatepassAuth } from '../../../src/verifier/fastify.ts'
import { serve } from './ready.ts'

/** The bare server with our guard in front. */

const [body = '{}', issuer = '', audience = '', jwks = '{}', cacheBytes = ''] =
  process.argv.slice(2)
const cache = cacheBytes === '' ? {} : { cache: { maxBytes: Number(cacheBytes) } }
const app = fastify()
await app.register(gatepassAuth, { issuer, audience, jwks: JSON.parse(jwks), ...cache })
app.get('*', (_request, reply) => reply.type('application/json').send(body))
await serve(app)
