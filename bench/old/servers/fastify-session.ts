import fastifyCookie from '@fastify/cookie'
import fastifySession, { type SessionStore } from '@fastify/session'
import { createClient } from '@redis/client'
import fastify from 'fastify'
import { serve } from './ready.ts'

/** The bare server behind @fastify/session, its sessions in Redis, each of which may hold a cart. */

declare module 'fastify' {
  interface Session {
    user?: string
    cart?: unknown
  }
}

const [body = '{}', redisUrl = '', secret = '', cart] = process.argv.slice(2)
const ttl_s = 3600
const redis = createClient({ url: redisUrl })
await redis.connect()

const store: SessionStore = {
  get(id, done) {
    redis.get(id).then((text) => done(null, text === null ? null : JSON.parse(text)), done)
  },
  set(id, session, done) {
    redis.set(id, JSON.stringify(session), { EX: ttl_s }).then(() => done(), done)
  },
  destroy(id, done) {
    redis.del(id).then(() => done(), done)
  },
}

const app = fastify()
await app.register(fastifyCookie)
// What its documentation advises for reads: neither a write at each request nor an empty session.
await app.register(fastifySession, {
  secret,
  store,
  saveUninitialized: false,
  rolling: false,
  cookie: { secure: false },
})
app.get('/login', (request, reply) => {
  request.session.user = 'ada'
  if (cart !== undefined) request.session.cart = JSON.parse(cart)
  return reply.type('application/json').send(body)
})
app.get('*', (request, reply) => {
  if (request.session.user === undefined) return reply.code(401).send()
  return request.session.cart ?? reply.type('application/json').send(body)
})
await serve(app)
