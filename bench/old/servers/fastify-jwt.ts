import { createPublicKey, type JsonWebKey } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import fastify from 'fastify'
import { tunedCache } from '../peers/tuned-cache.ts'
import { serve } from './ready.ts'

/** The bare server behind @fastify/jwt, with its cache on: as it is by default, or `tuned`. */

const [body = '{}', issuer = '', audience = '', jwks = '{}', tuning] = process.argv.slice(2)
const cache = tuning === 'tuned' ? tunedCache : { cache: true as const }
const [key] = (JSON.parse(jwks) as { keys: JsonWebKey[] }).keys
if (key === undefined) throw new Error('there is no key')
const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
const app = fastify()
await app.register(fastifyJwt, {
  secret: { public: String(pem), private: '' },
  verify: { ...cache, algorithms: ['ES256'], allowedIss: issuer, allowedAud: audience },
})
app.get('*', {
  onRequest: async (request) => {
    await request.jwtVerify()
  },
  handler: (_request, reply) => reply.type('application/json').send(body),
})
await serve(app)
