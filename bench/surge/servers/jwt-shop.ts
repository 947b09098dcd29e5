import fastifyJwt from '@fastify/jwt'
import { serve } from '../../programs/serve.ts'
import { connectRedis, jsonStore } from './redis.ts'
import { addShop, createApp, dataInRedis, type OwnerOfData } from './shop.ts'

/**
 * A replica of the shop that verifies access tokens with @fastify/jwt.
 * `jwt-shop <redis> <ttl_s> <issuer> <publicKey>`
 */

const [redisUrl = '', ttl_s = '', issuer = '', publicKey = ''] = process.argv.slice(2)
/** Room for every token of a surge. The default is 1,000. */
const cache = 20_000
const store = jsonStore(await connectRedis(redisUrl), ttl_s)
const app = await createApp()
await app.register(fastifyJwt, {
  secret: { public: publicKey, private: '' },
  verify: { cache, algorithms: ['ES256'], allowedIss: issuer, allowedAud: issuer },
})
addShop(app, {
  async guard(request) {
    await request.jwtVerify()
  },
  dataOf: (request) => dataInRedis(store, request.user as OwnerOfData),
})
await serve(app)
