import fastifyCookie from '@fastify/cookie'
import fastifySession, { type SessionStore } from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Cart } from '../../../../../examples/shop/data.ts'
import { serve } from '../../../servers/ready.ts'
import { checkPassword, credentials } from './accounts.ts'
import { JsonStore } from './json-store.ts'
import { NotSignedIn } from './refusals.ts'
import { connectRedis, type SharedRedis } from './shared-redis.ts'
import { addShop, createApp } from './shop-app.ts'
import { dataInSession } from './shop-data.ts'

/**
 * A replica of the shop on @fastify/session, as its documentation advises: no empty sessions, no write
 * at each read, a new id at sign-in. Sessions, with the cart in them, are in its own memory, or in
 * Redis; accounts, orders and preferences are in Redis either way.
 */

declare module 'fastify' {
  interface Session {
    user?: string
    shopCart?: Cart
  }
}

const [name = '', redisUrl = '', secret = '', ttl_s = '3600', place = 'redis'] =
  process.argv.slice(2)
const redis = await connectRedis(redisUrl)
const store = new JsonStore(redis, Number(ttl_s))
const isShared = place === 'redis'

const app = createApp(name)
// Not for what anybody may see: no session is read there.
await app.register(async (scope) => {
  await scope.register(fastifyCookie)
  await scope.register(fastifySession, {
    secret,
    saveUninitialized: false,
    rolling: false,
    cookie: { secure: false, sameSite: 'lax' },
    ...(isShared && { store: storeIn(redis) }),
  })
  if (isShared) addSignOutEverywhere(scope)
  else rememberReplica(scope)
  addSignIn(scope)
  addShop(scope, {
    guard,
    dataOf: ({ session }) => dataInSession(session, store, session.user ?? ''),
  })
})
await serve(app)

/** By this cookie the proxy knows the way back. */
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

  // Who has no session any more is signed out already.
  api.post('/logout', async (request, reply) => {
    if (isShared) await redis.send('SREM', sessionsKey(request), request.session.sessionId)
    await request.session.destroy()
    return reply.code(204).send()
  })
}

/** Not in its documentation, but a set for each user is what one would write. */
function addSignOutEverywhere(scope: FastifyInstance): void {
  scope.post('/logout/all', { preHandler: guard }, async (request, reply) => {
    const key = sessionsKey(request)
    const ids = (await redis.send('SMEMBERS', key)) as readonly string[]
    await redis.send('DEL', key, ...ids.map(sessionKey))
    await request.session.destroy()
    return reply.code(204).send()
  })
}

async function guard(request: FastifyRequest): Promise<void> {
  if (request.session.user === undefined) throw new NotSignedIn('there is no session')
}

function sessionsKey({ session }: FastifyRequest): string {
  return `sessions:${session.user}`
}

function sessionKey(id: string): string {
  return `session:${id}`
}

/** The commands of connect-redis: each session is one value, written as a whole. Carts are in there. */
function storeIn(redis: SharedRedis): SessionStore {
  return {
    get(id, done) {
      const parse = (text: unknown) => (typeof text === 'string' ? JSON.parse(text) : null)
      redis.send('GET', sessionKey(id)).then((text) => done(null, parse(text)), done)
    },
    set(id, session, done) {
      const command = ['SET', sessionKey(id), JSON.stringify(session), 'EX', ttl_s]
      redis.sendSafely(...command).then(() => done(), done)
    },
    destroy(id, done) {
      redis.send('DEL', sessionKey(id)).then(() => done(), done)
    },
  }
}
