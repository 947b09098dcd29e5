import fastifyJwt from '@fastify/jwt'
import { serve } from '../../../servers/ready.ts'
import { JsonStore } from './json-store.ts'
import { connectRedis } from './shared-redis.ts'
import { addShop, createApp } from './shop-app.ts'
import { dataInRedis, type OwnerOfData } from './shop-data.ts'

/** A replica of the shop that checks access tokens by @fastify/jwt, with its cache on. */

/** Room for every token of a surge; by default it is 1,000. */
const cachedTokens = 20_000

const [name = '', redisUrl = '', ttl_s = '3600', issuer = '', publicKey = ''] =
  process.argv.slice(2)
const store = new JsonStore(await connectRedis(redisUrl), Number(ttl_s))

const app = createApp(name)
await app.register(fastifyJwt, {
  secret: { public: publicKey, private: '' },
  verify: { cache: cachedTokens, algorithms: ['ES256'], allowedIss: issuer, allowedAud: issuer },
})
addShop(app, {
  async guard(request) {
    await request.jwtVerify()
  },
  dataOf: (request) => dataInRedis(store, request.user as OwnerOfData),
})
await serve(app)
