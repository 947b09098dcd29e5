import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'

/**
 * Routes that pages of these origins may call, with a token and never with cookies. The preflight of
 * each is answered here; it is nothing that the guard of a route could let through.
 *
 * Not for `/verify`: a proxy asks there about the preflights of others, which it must not answer.
 *
 * @param register adds the routes
 */
export async function crossOriginRoutes(
  scope: FastifyInstance,
  origins: readonly string[],
  register: (scope: FastifyInstance) => Promise<void>,
): Promise<void> {
  if (origins.length === 0) return register(scope)
  await scope.register(cors, {
    origin: [...origins],
    methods: ['GET', 'PUT', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'dpop', 'if-match', 'if-none-match'],
    exposedHeaders: ['etag', 'retry-after', 'www-authenticate'],
    maxAge: 600,
  })
  const urls = new Set<string>()
  await scope.register(async (guarded) => {
    guarded.addHook('onRoute', ({ url }) => {
      urls.add(url)
    })
    await register(guarded)
  })
  for (const url of urls) scope.options(url, { schema: { hide: true } }, async () => {})
}
