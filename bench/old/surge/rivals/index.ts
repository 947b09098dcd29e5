import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { SurgeContext, System } from '../system.ts'
import { named, type RivalParts, sessionTtl_s, startRival } from './fleet.ts'
import { byToken, sharedProxy, stickyProxy } from './nginx.ts'
import { cookieScheme, opaqueTokenScheme, refreshTokenScheme } from './schemes.ts'

/** What Gatepass replaces, each set up as its own documentation recommends. */

const ttl = String(sessionTtl_s)

const stickySessions = rival('sticky-sessions', '@fastify/session in memory, sticky', () => {
  const secret = newSecret()
  return {
    scheme: cookieScheme(false),
    setUp: [
      `${named('@fastify/session')} with its own store, in the memory of each shop; the cart is in the session`,
      'nginx sends each user to the shop that a cookie names, and to another one when that is gone',
      'nobody can be signed out everywhere: no shop knows the sessions of another',
    ],
    proxy: stickyProxy,
    shop: ({ redisUrl }) => ({
      module: 'session-shop.ts',
      args: [redisUrl, secret, ttl, 'memory'],
    }),
  }
})

const redisSessions = rival('redis-sessions', '@fastify/session on Redis', () => {
  const secret = newSecret()
  return {
    scheme: cookieScheme(true),
    setUp: [
      `${named('@fastify/session')} with its sessions in Redis, by the commands of connect-redis; the cart is in the session`,
      'a set of the sessions of each user, to sign out everywhere; no session is read for what anybody may see',
    ],
    proxy: sharedProxy,
    shop: ({ redisUrl }) => ({ module: 'session-shop.ts', args: [redisUrl, secret, ttl, 'redis'] }),
  }
})

const introspection = rival('introspection', 'Introspection at every request', () => {
  const secret = newSecret()
  return {
    scheme: opaqueTokenScheme,
    setUp: [
      'a small token service: opaque tokens in Redis for as long as the session, introspection by RFC 7662 over kept connections',
      'each shop asks it at each request, through nginx; carts in Redis, each change a compare-and-set',
    ],
    proxy: sharedProxy,
    issuer: ({ redisUrl }) => ({ module: 'token-service.ts', args: [redisUrl, ttl, secret] }),
    shop: ({ redisUrl, innerUrl }) => ({
      module: 'introspecting-shop.ts',
      args: [redisUrl, ttl, `${innerUrl}/introspect`, secret],
    }),
  }
})

const handRolled = rival('fastify-jwt', '@fastify/jwt, refresh by hand on Redis', ({ options }) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const key = JSON.stringify({ private: privateKey, public: publicKey })
  const accessTtl = String(options.accessTtl_s)
  return {
    scheme: refreshTokenScheme,
    setUp: [
      `${named('@fastify/jwt')}, ES256, its cache with room for all tokens, access tokens of ${accessTtl} s; opaque refresh tokens in Redis, each taken out when it is used`,
      'nginx sends the same token to the same shop, so that it is in the cache there',
      'to sign out everywhere removes the refresh tokens; one key, which is never rotated; carts in Redis, each change a compare-and-set',
    ],
    proxy: (addresses) => sharedProxy(addresses, byToken),
    issuer: ({ redisUrl, url }) => ({
      module: 'jwt-issuer.ts',
      args: [redisUrl, ttl, accessTtl, url, key],
    }),
    shop: ({ redisUrl, url }) => ({ module: 'jwt-shop.ts', args: [redisUrl, ttl, url, publicKey] }),
  }
})

/** In the order in which they run. */
export const rivals: readonly System[] = [stickySessions, redisSessions, introspection, handRolled]

function rival(name: string, title: string, parts: (ctx: SurgeContext) => RivalParts): System {
  return { name, title, start: (ctx) => startRival(parts(ctx), ctx) }
}

function newSecret(): string {
  return randomBytes(32).toString('base64url')
}
