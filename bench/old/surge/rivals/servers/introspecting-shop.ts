import { Agent } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { serve } from '../../../servers/ready.ts'
import { exchangeAt } from '../../client/exchange.ts'
import { JsonStore } from './json-store.ts'
import { NotSignedIn, StoreAway } from './refusals.ts'
import { connectRedis } from './shared-redis.ts'
import { addShop, createApp } from './shop-app.ts'
import { dataInRedis, type OwnerOfData } from './shop-data.ts'

/** A replica of the shop that asks the token service about the token of each request. */

declare module 'fastify' {
  interface FastifyRequest {
    owner?: OwnerOfData
  }
}

const [name = '', redisUrl = '', ttl_s = '3600', introspectUrl = '', shopSecret = ''] =
  process.argv.slice(2)
const store = new JsonStore(await connectRedis(redisUrl), Number(ttl_s))
const agent = new Agent({ keepAlive: true, scheduling: 'lifo' })
const headers = {
  authorization: `Basic ${Buffer.from(`shop:${shopSecret}`).toString('base64')}`,
  'content-type': 'application/x-www-form-urlencoded',
}

const app = createApp(name)
app.decorateRequest('owner')
addShop(app, {
  async guard(request) {
    request.owner = await introspect(bearerOf(request))
  },
  dataOf: ({ owner }) => dataInRedis(store, owner ?? { sub: '', sid: '' }),
})
await serve(app)

async function introspect(token: string): Promise<OwnerOfData> {
  if (token === '') throw new NotSignedIn('there is no token')
  const body = `token=${encodeURIComponent(token)}`
  const { status, text } = await exchangeAt(
    introspectUrl,
    { method: 'POST', agent, headers: { ...headers, 'content-length': String(body.length) } },
    body,
  )
  // Who can't ask does not know: that is no reason to send anybody to sign in.
  if (status !== 200) throw new StoreAway(`the token service answered ${status}`)
  const answer = JSON.parse(text) as { active: boolean } & OwnerOfData
  if (!answer.active) throw new NotSignedIn('the token is not active')
  return { sub: answer.sub, sid: answer.sid }
}

function bearerOf(request: FastifyRequest): string {
  return request.headers.authorization?.replace(/^Bearer /, '') ?? ''
}
