import { randomBytes, randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { serve } from '../../../servers/ready.ts'
import { checkPassword, credentials } from './accounts.ts'
import { NotSignedIn } from './refusals.ts'
import { connectRedis } from './shared-redis.ts'
import { createApp } from './shop-app.ts'
import type { OwnerOfData } from './shop-data.ts'

/**
 * A service that signs users in and hands out opaque tokens, kept in Redis, and tells by introspection
 * (RFC 7662) whose a token is. A token lives as long as the session: as each request asks, there is no
 * need for short ones, and so none to refresh them.
 */

const [name = '', redisUrl = '', ttl_s = '3600', shopSecret = ''] = process.argv.slice(2)
const redis = await connectRedis(redisUrl)
const authorization = `Basic ${Buffer.from(`shop:${shopSecret}`).toString('base64')}`

const base = createApp(name)
base.addContentTypeParser(
  'application/x-www-form-urlencoded',
  { parseAs: 'string' },
  (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
)
const app = base.withTypeProvider<ZodTypeProvider>()

app.post('/login', { schema: { body: credentials } }, async (request) => {
  await checkPassword(redis, request.body)
  const token = randomBytes(32).toString('base64url')
  const owner: OwnerOfData = { sub: request.body.username, sid: randomUUID() }
  await redis.send('SET', tokenKey(token), JSON.stringify(owner), 'EX', ttl_s)
  await redis.send('SADD', tokensKey(owner), token)
  return { access_token: token, token_type: 'Bearer', expires_in: Number(ttl_s) }
})

app.post('/logout', async (request, reply) => {
  const token = bearerOf(request)
  const owner = await ownerOf(token)
  if (owner !== null) await redis.send('SREM', tokensKey(owner), token)
  await redis.send('DEL', tokenKey(token))
  return reply.code(204).send()
})

app.post('/logout/all', async (request, reply) => {
  const owner = await ownerOf(bearerOf(request))
  if (owner === null) return reply.code(204).send()
  const key = tokensKey(owner)
  const tokens = (await redis.send('SMEMBERS', key)) as readonly string[]
  await redis.send('DEL', key, ...tokens.map(tokenKey))
  return reply.code(204).send()
})

app.post(
  '/introspect',
  { schema: { body: z.looseObject({ token: z.string() }) } },
  async (request) => {
    if (request.headers.authorization !== authorization) throw new NotSignedIn('not a shop')
    const owner = await ownerOf(request.body.token)
    return owner === null ? { active: false } : { active: true, ...owner, scope: 'shop' }
  },
)

await serve(base)

async function ownerOf(token: string): Promise<OwnerOfData | null> {
  const text = await redis.send('GET', tokenKey(token))
  return typeof text === 'string' ? JSON.parse(text) : null
}

function bearerOf(request: FastifyRequest): string {
  return request.headers.authorization?.replace(/^Bearer /, '') ?? ''
}

function tokenKey(token: string): string {
  return `token:${token}`
}

function tokensKey({ sub }: OwnerOfData): string {
  return `tokens:${sub}`
}
