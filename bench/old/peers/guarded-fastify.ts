import fastify from 'fastify'
import { serve } from '../servers/ready.ts'
import { createCheck, type VerifierName } from './verifiers.ts'

/**
 * The bare server with a library in front of it that is no plugin: a hook, and for those that answer
 * at once one without a promise.
 */

const [body = '{}', issuer = '', audience = '', jwks = '{}', name = ''] = process.argv.slice(2)
const check = createCheck(name as VerifierName, { issuer, audience, jwks: JSON.parse(jwks) })
const scheme = 'Bearer '
const app = fastify()
app.addHook('onRequest', (request, reply, done) => {
  const refuse = () => void reply.code(401).send({ error: 'invalid_token' })
  const { authorization = '' } = request.headers
  if (!authorization.startsWith(scheme)) return refuse()
  try {
    const pending = check(authorization.slice(scheme.length))
    if (pending instanceof Promise) pending.then(() => done(), refuse)
    else done()
  } catch {
    refuse()
  }
})
app.get('*', (_request, reply) => reply.type('application/json').send(body))
await serve(app)
