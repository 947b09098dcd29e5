import { createPublicKey, type JsonWebKey } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import fastify from 'fastify'
import { serve } from './ready.ts'

/** The bare server behind @fastify/jwt, with its cache on: for 1,000 tokens, or as many as it is told. */

const [body = '{}', issuer = '', audience = '', jwks = '{}', cacheTokens] = process.argv.slice(2)
const cache = cacheTokens === undefined ? true : Number(cacheTokens)
const [key] = (JSON.parse(jwks) as { keys: JsonWebKey[] }).keys
if (key === undefined) throw new Error('there is no key')
const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
const app = fastify()
await app.register(fastifyJwt, {
  secret: { public: String(pem), private: '' },
  verify: { cache, algorithms: ['ES256'], allowedIss: issuer, allowedAud: audience },
})
app.get('*', {
  onRequest: async (request) => {
    await request.jwtVerify()
  },
  handler: (_request, reply) => reply.type('application/json').send(body),
})
await serve(app)
