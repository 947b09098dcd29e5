import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Cart } from '../../../examples/shop/data.ts'
import { serve } from '../../programs/serve.ts'
import { redisSessions, sessionKey } from '../../programs/session-store.ts'
import { checkPassword, connectRedis, credentials, jsonStore, NotSignedIn } from './redis.ts'
import { addShop, createApp, dataInSession } from './shop.ts'

/**
 * A replica of the shop on @fastify/session, as its documentation advises: no empty sessions, no write at
 * each read, a new id at sign-in. Sessions, with the cart in them, are in its own memory or in Redis;
 * accounts, orders and preferences are in Redis. `session-shop <name> <redis> <secret> <ttl_s> <place>`
 */

declare module 'fastify' {
  interface Session {
    user?: string
    shopCart?: Cart
  }
}

const [name = '', redisUrl = '', secret = '', ttl_s = '', place = ''] = process.argv.slice(2)
const redis = await connectRedis(redisUrl)
const store = jsonStore(redis, ttl_s)
const isShared = place === 'redis'

const app = await createApp()
// In a separate scope, so that public routes read no session.
await app.register(async (scope) => {
  await scope.register(fastifyCookie)
  await scope.register(fastifySession, {
    secret,
    saveUninitialized: false,
    rolling: false,
    cookie: { secure: false, sameSite: 'lax' },
    ...(isShared && { store: redisSessions(redis.send, redis.sendSafely, ttl_s) }),
  })
  if (isShared) addSignOutEverywhere(scope)
  else rememberReplica(scope)
  addSignIn(scope)
  const dataOf = ({ session }: FastifyRequest) => dataInSession(session, store, session.user ?? '')
  addShop(scope, { guard, dataOf })
})
await serve(app)

/** The proxy uses this cookie to return to this replica. */
function rememberReplica(scope: FastifyInstance): void {
  scope.addHook('onSend', async (_request, reply) => {
    reply.setCookie('replica', name, { path: '/', httpOnly: true, sameSite: 'lax' })
  })
}

function addSignIn(scope: FastifyInstance): void {
  const api = scope.withTypeProvider<ZodTypeProvider>()
  api.post('/login', { schema: { body: credentials } }, async (request) => {
    await checkPassword(redis, request.body)
    await request.session.regenerate()
    request.session.user = request.body.username
    if (isShared) await redis.send('SADD', sessionsKey(request), request.session.sessionId)
    return { user: request.body.username }
  })
  // Without a session the user is already signed out.
  api.post('/logout', async (request, reply) => {
    if (isShared) await redis.send('SREM', sessionsKey(request), request.session.sessionId)
    await request.session.destroy()
    return reply.code(204).send()
  })
}

/** @fastify/session has no such feature. A set per user is the obvious solution. */
function addSignOutEverywhere(scope: FastifyInstance): void {
  scope.post('/logout/all', { preHandler: guard }, async (request, reply) => {
    const key = sessionsKey(request)
    const ids = (await redis.send('SMEMBERS', key)) as readonly string[]
    await redis.send('DEL', key, ...ids.map(sessionKey))
    await request.session.destroy()
    return reply.code(204).send()
  })
}

async function guard({ session }: FastifyRequest): Promise<void> {
  if (session.user === undefined) throw new NotSignedIn('there is no session')
}

function sessionsKey({ session }: FastifyRequest): string {
  return `sessions:${session.user}`
}
