import fastify from 'fastify'
import { serve } from './ready.ts'

/** The least that Fastify can do: read a request, and a body if there is one, and send a fixed text. */

const [body = '{}'] = process.argv.slice(2)
const app = fastify()
app.route({
  method: ['GET', 'POST'],
  url: '*',
  handler: (_request, reply) => reply.type('application/json').send(body),
})
await serve(app)
