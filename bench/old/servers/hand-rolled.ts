import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { createClient } from '@redis/client'
import { createSigner } from 'fast-jwt'
import fastify from 'fastify'
import { serve } from './ready.ts'

/**
 * The refresh that one writes in an afternoon, well: opaque tokens in Redis, each taken out when it
 * is used, and an access token like ours. Nothing tells a retry from a theft, and it keeps no log.
 */

interface StoredSession {
  readonly sid: string
  readonly sub: string
  readonly clientId: string
  readonly scope: string
  readonly amr: readonly string[]
  readonly authTime: number
}

const [redisUrl = ''] = process.argv.slice(2)
const accessTtl_s = 300
const refreshTtl_s = 14 * 24 * 3600
const text = { type: 'string' } as const
const count = { type: 'integer' } as const

const { privateKey } = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
})
const sign = createSigner({
  key: privateKey,
  algorithm: 'ES256',
  kid: randomBytes(32).toString('base64url'),
  header: { alg: 'ES256', typ: 'at+jwt' },
})
const redis = createClient({ url: redisUrl })
await redis.connect()

const app = fastify()
app.post<{ Body: { refresh_token: string } }>(
  '/refresh',
  {
    schema: {
      body: {
        type: 'object',
        required: ['refresh_token'],
        properties: { refresh_token: { ...text, maxLength: 128 } },
      },
      response: {
        200: {
          type: 'object',
          properties: {
            access_token: text,
            token_type: text,
            expires_in: count,
            scope: text,
            session_id: text,
            refresh_token: text,
            refresh_token_expires_in: count,
          },
        },
      },
    },
  },
  async (request, reply) => {
    const stored = await redis.getDel(`rt:${request.body.refresh_token}`)
    if (stored === null) return reply.code(401).send({ error: 'invalid_grant' })
    const session: StoredSession = JSON.parse(stored)
    const refreshToken = randomBytes(32).toString('base64url')
    await redis.set(`rt:${refreshToken}`, stored, {
      expiration: { type: 'EX', value: refreshTtl_s },
    })
    reply.header('cache-control', 'no-store')
    return {
      access_token: accessTokenOf(session),
      token_type: 'Bearer',
      expires_in: accessTtl_s,
      scope: session.scope,
      session_id: session.sid,
      refresh_token: refreshToken,
      refresh_token_expires_in: refreshTtl_s,
    }
  },
)

function accessTokenOf(session: StoredSession): string {
  const iat = Math.floor(Date.now() / 1000)
  return sign({
    iss: 'http://localhost:4000',
    sub: session.sub,
    aud: 'http://localhost',
    exp: iat + accessTtl_s,
    iat,
    jti: randomUUID(),
    client_id: session.clientId,
    scope: session.scope,
    sid: session.sid,
    auth_time: session.authTime,
    amr: session.amr,
  })
}

await serve(app)
