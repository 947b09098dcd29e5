import type { IncomingMessage } from 'node:http'
import cors from '@fastify/cors'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { GatepassError } from '../core/errors.ts'

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

const exposedHeaders = ['date', 'retry-after', 'www-authenticate']

/** Lets pages of these origins call with cookies. */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return
  app.register(cors, {
    origin: [...origins],
    credentials: true,
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'dpop', 'idempotency-key'],
    exposedHeaders,
    maxAge: 600,
  })
}

/**
 * Answers the preflight of a page whose origin the route refuses, so that the page can read why. It is
 * told nothing else, and its requests carry no cookies: `*` is not for those.
 */
export function answerRefusedPreflights(app: FastifyInstance, url: string, origins: OriginGuard) {
  app.addHook('onRequest', (request, reply, done) => {
    const isRefused =
      request.method === 'OPTIONS' &&
      request.routeOptions.url === url &&
      request.headers['access-control-request-method'] !== undefined &&
      !origins.allows(request.raw)
    if (!isRefused) return done()
    letAnyPageRead(reply)
    reply.header('access-control-allow-methods', 'POST')
    reply.header('access-control-allow-headers', 'content-type, dpop')
    reply.code(204).send()
  })
}

/** Lets any page read an answer without its headers, to a request without cookies. */
export function letAnyPageRead(reply: FastifyReply): void {
  reply.removeHeader('access-control-allow-credentials')
  reply.removeHeader('access-control-expose-headers')
  reply.header('access-control-allow-origin', '*')
}

/**
 * Refuses a call that a page of another site makes with the user's cookie (I3). A browser says who
 * calls in `Sec-Fetch-Site` and `Origin`, and no page can change them; what sends neither is not a
 * browser and has no cookies of a victim.
 */
export class OriginGuard {
  readonly #allowed: ReadonlySet<string>

  /** @param allowed the origin of the issuer itself, and those of its front ends */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed)
  }

  allows({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
    const site = headers['sec-fetch-site']
    if (site === 'same-origin' || site === 'none') return true
    const { origin } = headers
    return origin === undefined ? site === undefined : this.#allowed.has(origin)
  }

  /** @throws `origin_not_allowed` */
  check(request: Pick<IncomingMessage, 'headers'>): void {
    if (!this.allows(request)) throw new GatepassError('origin_not_allowed')
  }
}
