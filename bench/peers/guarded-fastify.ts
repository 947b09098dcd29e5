import fastify from 'fastify'
import { serve } from '../servers/ready.ts'
import { createCheck, type VerifierName } from './verifiers.ts'

/** The bare server with a library in front of it that is no plugin: a hook, as one writes it. */

const [body = '{}', issuer = '', audience = '', jwks = '{}', name = ''] = process.argv.slice(2)
const check = createCheck(name as VerifierName, { issuer, audience, jwks: JSON.parse(jwks) })
const scheme = 'Bearer '
const app = fastify()
app.addHook('onRequest', async (request, reply) => {
  const { authorization = '' } = request.headers
  try {
    if (!authorization.startsWith(scheme)) throw new Error('there is no token')
    await check(authorization.slice(scheme.length))
  } catch {
    return reply.code(401).send({ error: 'invalid_token' })
  }
})
app.get('*', (_request, reply) => reply.type('application/json').send(body))
await serve(app)
