/** The public entry `@gatepass/verifier/fastify`. */
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RegisterOptions,
} from 'fastify'
import type { GatepassError } from '../core/errors.ts'
import { isPromise } from '../core/promise.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { type RequestTarget, readPublicUrl } from './dpop/target-uri.ts'
import { markPlugin } from './fastify-plugin.ts'
import { checkOnRefused, createGuard, type Guard, type RouteAuth } from './guard.ts'
import type { IssuersOptions, VerifierOptions } from './options.ts'
import { problemType } from './refusal.ts'
import { createVerifier, type Verifier } from './verifier.ts'

/** Where requests come in, for the proofs of DPoP tokens (RFC 9449). */
export interface DpopOptions {
  /**
   * The public address that the routes are below, such as `https://api.example.com`: a proof must
   * be for a URI there. By default that is what Fastify says, by `Host`, and by `X-Forwarded-*` if
   * its `trustProxy` is set.
   */
  readonly publicUrl?: string
  /** The method and URI of a request where it was first made, when that is not here. */
  readonly requestTarget?: (request: FastifyRequest) => RequestTarget
}

export interface RefusalOptions {
  /**
   * Answers a refused request in place of the plugin. The status and the challenge of the reply are
   * set. What it throws goes to the error handler of the application; if it has sent nothing when it
   * is done, the plugin answers.
   */
  readonly onRefused?: (
    error: GatepassError,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => unknown
}

export interface DescribeOptions {
  /**
   * Has the OpenAPI document of `@fastify/swagger` say what token each route asks for. It must have
   * the `securitySchemes` that this module exports.
   */
  readonly openapi?: boolean
}

/** A verifier that is there already, or the options to make one of. */
export type GatepassAuthOptions = (
  | { readonly verifier: Verifier }
  | VerifierOptions
  | IssuersOptions
) &
  DpopOptions &
  RefusalOptions &
  DescribeOptions

export type { RouteAuth } from './guard.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The claims of the bearer token; null on a route with `auth: false`. */
    auth: AccessTokenClaims | null
  }
  interface FastifyContextConfig {
    /** false opens the route to anybody. */
    auth?: false | RouteAuth
  }
}

/**
 * Guards the routes of the scope it is registered in, and of the scopes within: each asks for a
 * bearer token (RFC 6750 §2.1) before its body is read, unless its configuration says otherwise.
 *
 * ```ts
 * import Fastify from 'fastify'
 * import { gatepassAuth } from '@gatepass/verifier/fastify'
 *
 * const app = Fastify()
 * await app.register(gatepassAuth, {
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 * })
 * app.get('/orders', (request) => ({ user: request.auth?.sub }))
 * app.post('/orders', { config: { auth: { scope: 'orders:write' } } }, () => ({}))
 * app.get('/prices', { config: { auth: false } }, () => ({}))
 * ```
 *
 * A refused request is answered with `application/problem+json` (RFC 9457) and its challenge (RFC
 * 6750 §3). The handler for unknown addresses is no route and is not guarded.
 */
export const gatepassAuth = markPlugin<GatepassAuthOptions>(
  async (app, options) => {
    const verifier = openVerifier(app, options)
    const targetOf = options.requestTarget ?? readPublicUrl(options.publicUrl)
    const { onRefused } = options
    checkOnRefused(onRefused)
    const guards = new WeakSet<object>()
    const makeHook = (auth: RouteAuth | undefined) => {
      const hook = createHook(createGuard(verifier, auth), targetOf, onRefused)
      guards.add(hook)
      return hook
    }
    app.decorateRequest('auth', null)
    app.addHook('onRoute', (route) => {
      const auth = route.config?.auth
      if (auth === false) return
      if (options.openapi) route.schema = describeSecurity(route.schema, auth)
      const hooks = [route.onRequest ?? []].flat()
      // The HEAD that Fastify adds to a GET has its hooks, with the guard among them.
      if (!hooks.some((hook) => guards.has(hook))) route.onRequest = [makeHook(auth), ...hooks]
    })
    // A hook for each request costs as much as the check itself, so only where it may be needed.
    if (hasRoutes(app)) guardLateRoutes(app, makeHook)
  },
  { name: 'gatepass-auth' },
)

type Done = (error?: Error) => void
type Hook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void

/** By callback and not by promise: for a token that is known, a promise costs more than the check. */
function createHook(
  guard: Guard,
  targetOf: (request: FastifyRequest) => RequestTarget,
  onRefused: RefusalOptions['onRefused'],
): Hook {
  async function refuse(
    request: FastifyRequest,
    reply: FastifyReply,
    thrown: unknown,
    done: Done,
  ): Promise<void> {
    const { error, headers, body } = guard.refusal(thrown, request.headers)
    reply.code(error.status).headers(headers)
    try {
      await onRefused?.(error, request, reply)
    } catch (failure) {
      return done(failure as Error)
    }
    if (reply.sent) return
    request.log[error.status < 500 ? 'info' : 'error']({ err: error }, 'the request was refused')
    reply.type(problemType).send(body)
  }
  return (request, reply, done) => {
    let claims: AccessTokenClaims | Promise<AccessTokenClaims>
    try {
      claims = guard.check(request.headers, () => ({ ...targetOf(request), request }))
    } catch (error) {
      return void refuse(request, reply, error, done)
    }
    if (!isPromise(claims)) {
      request.auth = claims
      return done()
    }
    claims.then(
      (later) => {
        request.auth = later
        done()
      },
      (error: unknown) => refuse(request, reply, error, done),
    )
  }
}

/** Whether there is any route yet, here or elsewhere in the application. */
function hasRoutes(app: FastifyInstance): boolean {
  return app.printRoutes() !== fastifyWithoutRoutes
}

const fastifyWithoutRoutes = '(empty tree)'

/**
 * A route that was declared after register(), but before the plugin was loaded for want of an
 * await, has escaped the `onRoute` hook. It must not be open for that.
 */
function guardLateRoutes(
  app: FastifyInstance,
  makeHook: (auth: RouteAuth | undefined) => Hook,
): void {
  const late = new WeakMap<object, Hook>()
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (request.auth !== null || request.is404) return done(null, payload)
    const { config } = request.routeOptions
    if (config.auth === false) return done(null, payload)
    const hook = late.get(config) ?? makeHook(config.auth)
    late.set(config, hook)
    hook(request, reply, (error) => (error ? done(error) : done(null, payload)))
  })
}

/** The schemes by which the routes are described, for `components` of an OpenAPI document. */
export const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
  dpop: { type: 'http', scheme: 'dpop', bearerFormat: 'JWT' },
} as const

/** The schema of a route with what its token must be like, for `@fastify/swagger`. */
function describeSecurity(schema: FastifySchema | undefined, auth: RouteAuth | undefined) {
  if (schema?.security !== undefined) return schema
  const scopes = auth?.scope?.split(' ').filter((scope) => scope !== '') ?? []
  return { ...schema, security: [auth?.dpop ? { dpop: scopes } : { bearer: scopes }] }
}

/** The verifier that was passed in; or one of our own, which lives as long as the application. */
function openVerifier(app: FastifyInstance, options: GatepassAuthOptions): Verifier {
  if ('verifier' in options && options.verifier) return options.verifier
  // What Fastify itself takes along with the options of a plugin.
  const { prefix, logLevel, logSerializers, ...ours } = options as VerifierOptions & RegisterOptions
  const { publicUrl, requestTarget, onRefused, openapi, ...own } = ours as VerifierOptions &
    DpopOptions &
    RefusalOptions &
    DescribeOptions
  const verifier = createVerifier(own)
  app.addHook('onReady', async () => {
    // Not awaited: without keys the service answers 503, and may do so before they come.
    verifier.ready().catch((error: unknown) => app.log.warn(error))
  })
  app.addHook('onClose', () => verifier.close())
  return verifier
}
