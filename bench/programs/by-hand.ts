import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { createClient } from '@redis/client'
import { createSigner } from 'fast-jwt'
import fastify from 'fastify'
import { initialTokens } from '../harness/traffic.ts'
import { verifyPassword } from '../passwords.ts'
import { serve } from './serve.ts'

/**
 * A good hand-made sign-in: Argon2id in Node's pool, opaque refresh tokens in Redis that work once, and
 * access tokens like those of Gatepass. It limits no failures, detects no reuse and has no log.
 * `by-hand <redisUrl> <sessions> <passwordHash>`
 */

const [redisUrl = '', sessions = '0', passwordHash = ''] = process.argv.slice(2)
const accessTtl_s = 300
const refreshTtl_s = 14 * 24 * 3600
const scope = 'data:read data:write'
const commonClaims = { iss: 'http://localhost:4000', aud: 'http://localhost', client_id: 'default' }
const lifetimes = { expires_in: accessTtl_s, refresh_token_expires_in: refreshTtl_s }
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
const kid = randomBytes(32).toString('base64url')
const sign = createSigner({ key, algorithm: 'ES256', kid, header: { alg: 'ES256', typ: 'at+jwt' } })

/** All users have the same password, and one session each. */
const redis = createClient({ url: redisUrl })
await redis.connect()
for (const [n, token] of initialTokens(Number(sessions)).entries()) {
  await redis.set(`user:user-${n}`, passwordHash)
  await redis.set(`rt:${token}`, JSON.stringify({ sid: randomUUID(), sub: `user-${n}` }))
}

const text = { type: 'string' }
const count = { type: 'integer' }
const answer = {
  type: 'object',
  properties: {
    access_token: text,
    token_type: text,
    refresh_token: text,
    expires_in: count,
    refresh_token_expires_in: count,
    scope: text,
    session_id: text,
  },
}
const body = { type: 'object', required: ['refresh_token'], properties: { refresh_token: text } }

const app = fastify()
app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'))

app.post<{ Body: { refresh_token: string } }>(
  '/refresh',
  { schema: { body, response: { 200: answer } } },
  async (request, reply) => {
    const session = await redis.getDel(`rt:${request.body.refresh_token}`)
    if (session === null) return reply.code(401).send({ error: 'invalid_grant' })
    return tokensFor(session)
  },
)

app.post<{ Body: { username: string; password: string } }>('/login', async (request, reply) => {
  const { username, password } = request.body
  const stored = (await redis.get(`user:${username}`)) ?? passwordHash
  if (!(await verifyPassword(password, stored))) return reply.code(401).send()
  return tokensFor(JSON.stringify({ sid: randomUUID(), sub: username }))
})

await serve(app)

async function tokensFor(session: string) {
  const { sid, sub } = JSON.parse(session) as { sid: string; sub: string }
  const refresh_token = randomBytes(32).toString('base64url')
  await redis.set(`rt:${refresh_token}`, session, { EX: refreshTtl_s })
  const iat = Math.floor(Date.now() / 1000)
  const times = { iat, auth_time: iat, exp: iat + accessTtl_s }
  const claims = { ...commonClaims, ...times, sub, sid, scope, amr: ['pwd'], jti: randomUUID() }
  const tokens = { access_token: sign(claims), token_type: 'Bearer', refresh_token }
  return { ...tokens, ...lifetimes, scope, session_id: sid }
}
