import fastify from 'fastify'
import { serve } from './ready.ts'

/** The bare server with our guard in front: of the sources, or of the module that it is told. */

const [body = '{}', issuer = '', audience = '', jwks = '{}', cacheBytes = '', plugin = ''] =
  process.argv.slice(2)
const source = '../../src/verifier/fastify.ts'
const { gatepassAuth }: typeof import('../../src/verifier/fastify.ts') = await import(
  plugin === '' ? source : plugin
)
const cache = cacheBytes === '' ? {} : { cache: { maxBytes: Number(cacheBytes) } }
const app = fastify()
await app.register(gatepassAuth, { issuer, audience, jwks: JSON.parse(jwks), ...cache })
app.get('*', (_request, reply) => reply.type('application/json').send(body))
await serve(app)
