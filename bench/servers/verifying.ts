import { generateKeyPairSync, sign, verify } from 'node:crypto'
import fastify from 'fastify'
import { serve } from './ready.ts'

/** The bare server with one raw check of a signature at each request, as long as that of a token. */

const [body = '{}'] = process.argv.slice(2)
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signed = Buffer.alloc(460, 'a')
const signature = sign('sha256', signed, privateKey)
const app = fastify()
app.get('*', (_request, reply) => {
  if (!verify('sha256', signed, publicKey, signature)) return reply.code(401).send()
  return reply.type('application/json').send(body)
})
await serve(app)
