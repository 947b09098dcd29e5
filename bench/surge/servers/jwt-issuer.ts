import { randomBytes, randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { serve } from '../../programs/serve.ts'
import { checkPassword, connectRedis, credentials, NotSignedIn } from './redis.ts'
import { createApp, type OwnerOfData } from './shop.ts'

/**
 * A hand-made sign-in with @fastify/jwt: access tokens signed with ES256, and opaque refresh tokens in Redis
 * that are removed at their use (`GETDEL`). `jwt-issuer <redis> <ttl_s> <issuer> <key> <accessTtl_s>`
 */

const [redisUrl = '', ttl_s = '', issuer = '', key = '{}', accessTtl_s = ''] = process.argv.slice(2)
const tokenKey = (token: string) => `rt:${token}`
const tokensKey = (sub: string) => `rts:${sub}`
const redis = await connectRedis(redisUrl)
const base = await createApp()
await base.register(fastifyJwt, {
  secret: JSON.parse(key) as { private: string; public: string },
  sign: { algorithm: 'ES256', iss: issuer, aud: issuer, expiresIn: Number(accessTtl_s) },
  verify: { algorithms: ['ES256'], allowedIss: issuer, allowedAud: issuer },
})
const app = base.withTypeProvider<ZodTypeProvider>()
const refreshBody = z.strictObject({ refresh_token: z.string().max(128) })

app.post('/login', { schema: { body: credentials } }, async (request) => {
  await checkPassword(redis, request.body)
  return tokensFor({ sub: request.body.username, sid: randomUUID() })
})

app.post('/refresh', { schema: { body: refreshBody } }, async (request) => {
  const { refresh_token: token } = request.body
  const text = await redis.send('GETDEL', tokenKey(token))
  if (typeof text !== 'string') throw new NotSignedIn('the refresh token is not known')
  const owner: OwnerOfData = JSON.parse(text)
  await redis.send('SREM', tokensKey(owner.sub), token)
  return tokensFor(owner)
})

app.post('/logout', { schema: { body: refreshBody } }, async (request, reply) => {
  await redis.send('DEL', tokenKey(request.body.refresh_token))
  return reply.code(204).send()
})

// Removes all refresh tokens of the user. Access tokens work until they expire.
app.post('/logout/all', { preHandler: guard }, async (request, reply) => {
  const setKey = tokensKey((request.user as OwnerOfData).sub)
  const tokens = (await redis.send('SMEMBERS', setKey)) as readonly string[]
  await redis.send('DEL', setKey, ...tokens.map(tokenKey))
  return reply.code(204).send()
})

await serve(base)

async function guard(request: FastifyRequest): Promise<void> {
  await request.jwtVerify()
}

async function tokensFor(owner: OwnerOfData) {
  const refresh_token = randomBytes(32).toString('base64url')
  await redis.send('SET', tokenKey(refresh_token), JSON.stringify(owner), 'EX', ttl_s)
  await redis.send('SADD', tokensKey(owner.sub), refresh_token)
  const access_token = base.jwt.sign({ ...owner, jti: randomUUID() })
  return { access_token, token_type: 'Bearer', expires_in: Number(accessTtl_s), refresh_token }
}
