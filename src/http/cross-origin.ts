import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError } from '../core/errors.ts'

const preflightMaxAgeSeconds = 600
/** The headers that a page may send to the issuer, and read in its responses. Swagger UI sends the last. */
const sentHeaders = 'authorization, content-type, dpop, idempotency-key, x-requested-with'
const readHeaders = 'date, dpop-nonce, retry-after, www-authenticate'

/**
 * Refuses cross-site requests that use a user's cookie (attack I3). Browsers state the caller in
 * `Sec-Fetch-Site` and `Origin`, which no page can change. A client that sends neither is not a
 * browser, so it has no cookies of a victim.
 */
export class OriginGuard {
  readonly #allowed: ReadonlySet<string>

  /** @param allowed the origins of the issuer and of its front ends */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed)
  }

  allows({ headers }: FastifyRequest): boolean {
    const site = headers['sec-fetch-site']
    if (site === 'same-origin' || site === 'none') return true
    const { origin } = headers
    return origin === undefined ? site === undefined : this.#allowed.has(origin)
  }

  /** @throws `origin_not_allowed` */
  check(request: FastifyRequest): void {
    if (!this.allows(request)) throw new GatepassError('origin_not_allowed')
  }
}

/**
 * Allows pages of these origins to call an app with cookies.
 *
 * @param exceptUrls routes to which a browser is redirected: they must not have CORS (RFC 9700 §2.6)
 */
export function allowOrigins(
  app: FastifyInstance,
  origins: readonly string[],
  exceptUrls: ReadonlySet<string>,
): void {
  if (origins.length === 0) return
  const allowed = {
    origin: [...origins],
    credentials: true,
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: sentHeaders,
    exposedHeaders: readHeaders,
  }
  registerCors(app, allowed, exceptUrls)
}

/** Registers CORS. An OPTIONS request that is no preflight is left to the routes, which refuse it. */
function registerCors(
  app: FastifyInstance,
  allowed: FastifyCorsOptions,
  exceptUrls: ReadonlySet<string> = new Set(),
) {
  const preflight = { ...allowed, maxAge: preflightMaxAgeSeconds }
  const other = { ...allowed, preflight: false }
  const none = { origin: false }
  return app.register(cors, {
    delegator: (request, done) => {
      if (exceptUrls.has(request.routeOptions.url ?? '')) return done(null, none)
      done(null, isPreflight(request) ? preflight : other)
    },
  })
}

function isPreflight({ method, headers }: FastifyRequest): boolean {
  const isAsked = headers['access-control-request-method'] !== undefined
  return method === 'OPTIONS' && headers.origin !== undefined && isAsked
}

/**
 * Allows pages of these origins to call the routes of a scope with a token, never with cookies. `/verify`
 * must not be among the routes: a proxy passes the preflights of other services to it.
 */
export async function allowOriginsWithToken(
  scope: FastifyInstance,
  origins: readonly string[],
): Promise<void> {
  if (origins.length === 0) return
  await registerCors(scope, {
    origin: [...origins],
    methods: ['GET', 'PUT', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'dpop', 'if-match', 'if-none-match'],
    exposedHeaders: ['etag', 'retry-after', 'www-authenticate'],
  })
}

/**
 * Answers preflights from origins that the route refuses, so that the page can read the refusal of the
 * request itself. `*` permits no cookies.
 */
export function answerRefusedPreflights(app: FastifyInstance, url: string, origins: OriginGuard) {
  app.addHook('onRequest', (request, reply, done) => {
    const isRefused =
      isPreflight(request) && request.routeOptions.url === url && !origins.allows(request)
    if (!isRefused) return done()
    letAnyPageRead(reply)
    reply.header('access-control-allow-methods', 'POST')
    reply.header('access-control-allow-headers', 'content-type, dpop')
    reply.code(204).send()
  })
}

/**
 * Allows pages of every site to call routes that read no cookie. These routes require a code, a
 * token or the client's own authentication (OAuth for browser-based applications).
 *
 * @param listed the origins of `allowOrigins`, which answers their pages
 */
export function allowAnyPage(
  app: FastifyInstance,
  urls: ReadonlySet<string>,
  listed: readonly string[],
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { origin } = request.headers
    // A cache gives pages the metadata that it has kept for another client.
    if (origin === undefined && request.method !== 'GET') return done()
    // A listed page may send its cookies everywhere. A preflight that answers `*` would forbid it.
    if (origin !== undefined && listed.includes(origin)) return done()
    // Read last, because Fastify creates the options at each access.
    if (!urls.has(request.routeOptions.url ?? '')) return done()
    reply.header('access-control-allow-origin', '*')
    if (!isPreflight(request)) {
      reply.header('access-control-expose-headers', readHeaders)
      return done()
    }
    reply.headers({
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': sentHeaders,
      'access-control-max-age': preflightMaxAgeSeconds,
    })
    reply.code(204).send()
  })
}

/**
 * Lets every page read the body of a response to a request without cookies, but not its headers.
 */
export function letAnyPageRead(reply: FastifyReply): void {
  reply.removeHeader('access-control-allow-credentials')
  reply.removeHeader('access-control-expose-headers')
  reply.header('access-control-allow-origin', '*')
}
