import { generateKeyPairSync } from 'node:crypto'
import { startServer } from '../harness/processes.ts'
import { newSecret, userName } from '../issuer.ts'
import { hashPassword, password } from '../passwords.ts'
import { connectRedis } from './servers/redis.ts'
import {
  type ClientScheme,
  cookiesOf,
  post,
  type System,
  type SystemContext,
  tokenSession,
} from './system.ts'

/** The rivals of Gatepass, set up as their documentation recommends. */

/** Lifetime of sessions: longer than a surge. */
const ttl_s = '3600'

/**
 * Keeps the cart in the session. In the memory of one shop, no user can be signed out everywhere. In Redis,
 * a set of the sessions of each user makes that possible.
 */
function sessionSystem(name: string, title: string, place: 'memory' | 'redis'): System {
  return {
    name,
    title,
    async prepare(ctx) {
      await storeAccounts(ctx)
      const args = [ctx.redisUrl(0), newSecret(), ttl_s, place]
      return {
        scheme: cookieScheme(place === 'redis'),
        balance: place === 'redis' ? 'in turn' : 'sticky',
        start: {
          shop: (replica) =>
            startServer('surge/servers/session-shop', [replica, ...args], ctx.bench),
        },
      }
    },
  }
}

/**
 * Each shop verifies access tokens itself, with a cache for all of them. Opaque refresh tokens are in Redis
 * and removed at their use. Carts are in Redis, and each change is a compare-and-set.
 */
const tokensByHand: System = {
  name: 'fastify-jwt',
  title: '@fastify/jwt, refresh by hand on Redis',
  async prepare(ctx) {
    await storeAccounts(ctx)
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const privateKey = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
    const publicKey = String(pair.publicKey.export({ type: 'spki', format: 'pem' }))
    const key = JSON.stringify({ private: privateKey, public: publicKey })
    const { bench, url, options, redisUrl } = ctx
    const issuerArgs = [redisUrl(0), ttl_s, url, key, String(options.accessTtl_s)]
    const shopArgs = [redisUrl(0), ttl_s, url, publicKey]
    return {
      scheme: refreshTokenScheme,
      balance: 'by token',
      start: {
        issuer: () => startServer('surge/servers/jwt-issuer', issuerArgs, bench),
        shop: () => startServer('surge/servers/jwt-shop', shopArgs, bench),
      },
    }
  },
}

export const rivals: readonly System[] = [
  sessionSystem('sticky-sessions', '@fastify/session in memory, sticky', 'memory'),
  sessionSystem('redis-sessions', '@fastify/session on Redis', 'redis'),
  tokensByHand,
]

async function storeAccounts({ redisUrl, options }: SystemContext): Promise<void> {
  const redis = await connectRedis(redisUrl(0))
  const hash = hashPassword('light')
  for (let n = 0; n < options.users; n++) await redis.send('SET', `account:${userName(n)}`, hash)
  await redis.close()
}

/** One cookie for the whole session. */
function cookieScheme(canSignOutEverywhere: boolean): ClientScheme {
  return {
    async login(ask, username) {
      const answer = await ask(post('/login', {}, { username, password }))
      if (answer.status !== 200) return answer
      return { headers: { cookie: cookiesOf(answer).join('; ') }, lifetimeMs: null, secret: '' }
    },
    logout: (ask, { headers }) => ask(post('/logout', headers)),
    ...(canSignOutEverywhere && {
      signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
    }),
  }
}

/**
 * A short-lived access token, and a refresh token that works once. The client repeats a refresh without a
 * response. If the server has used the token up, the session is lost.
 */
const refreshTokenScheme: ClientScheme = {
  login: async (ask, username) =>
    tokenSession(await ask(post('/login', {}, { username, password }))),
  refresh: async (ask, { secret }) =>
    tokenSession(await ask(post('/refresh', {}, { refresh_token: secret }))),
  logout: (ask, { secret }) => ask(post('/logout', {}, { refresh_token: secret })),
  signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
}
