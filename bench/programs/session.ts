import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { createClient } from '@redis/client'
import fastify, { type FastifyRequest } from 'fastify'
import { serve } from './serve.ts'
import { redisSessions } from './session-store.ts'

/**
 * A guarded route behind @fastify/session, with the sessions, each with a cart, in Redis.
 * `session <redisUrl> <secret>`
 */

declare module 'fastify' {
  interface Session {
    user?: string
    items?: Record<string, number>
  }
}

const [redisUrl = '', secret = ''] = process.argv.slice(2)
const ttl_s = '3600'
const redis = createClient({ url: redisUrl })
await redis.connect()
const send = (...command: string[]) => redis.sendCommand(command)

const app = fastify()
await app.register(fastifyCookie)
// As its documentation advises: no write at a read, no empty session.
await app.register(fastifySession, {
  secret,
  store: redisSessions(send, send, ttl_s),
  saveUninitialized: false,
  rolling: false,
  cookie: { secure: false },
})
app.get('/login', async (request) => {
  request.session.user = 'ada'
  request.session.items = { shirt: 1, hat: 1, 'shoes-42': 1 }
  return {}
})
app.addHook('preHandler', async (request, reply) => {
  if (request.url !== '/login' && request.session.user === undefined) await reply.code(401).send()
})
const cartOf = ({ session }: FastifyRequest) => session.items ?? {}
app.get('*', async (request) => cartOf(request))
app.post('*', async (request) => {
  request.session.items = { ...cartOf(request), shirt: (cartOf(request).shirt ?? 0) + 1 }
  return request.session.items
})
await serve(app)
