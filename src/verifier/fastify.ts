/** The public entry `@gatepass/verifier/fastify`. */
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RegisterOptions,
} from 'fastify'
import { GatepassError, isGatepassError, problemType } from '../core/errors.ts'
import { isPromise } from '../core/promise.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { type RequestTarget, readPublicUrl } from './dpop/target-uri.ts'
import { markPlugin } from './fastify-plugin.ts'
import {
  authorizationScheme,
  challengeHeaders,
  checkFunction,
  checkVerifier,
  createGuard,
  failureOf,
  type Guard,
  type RouteAuth,
} from './guard.ts'
import type { IssuersOptions, VerifierOptions } from './options.ts'
import {
  createResourceMetadata,
  type ResourceMetadata,
  type ResourceOption,
} from './protected-resource.ts'
import { verificationOutcomes } from './status.ts'
import { createVerifier, type Verifier } from './verifier.ts'

/** The address of requests, for DPoP proofs (RFC 9449). */
export interface DpopOptions {
  /**
   * Public address of the routes, such as `https://api.example.com`; a proof must name a URI below it.
   * Default: the address that Fastify derives from `Host`, and from `X-Forwarded-*` with `trustProxy`.
   */
  readonly publicUrl?: string
  /**
   * Returns the original method and URI of a request that a proxy has changed.
   * @internal
   */
  readonly requestTarget?: (request: FastifyRequest) => RequestTarget
}

/** The response to a refused request. */
export interface RefusalOptions {
  /**
   * Sends the response to a refused request. Status and challenge of the reply are set. An error goes to
   * the error handler of the application; if nothing was sent, the plugin sends its own response. If it
   * returns the reply, the plugin waits until the reply is sent, as Fastify does.
   */
  readonly onRefused?: (
    error: GatepassError,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => unknown
}

/** The description of the routes. */
export interface DescribeOptions {
  /**
   * Adds the required token of each route to the OpenAPI document of `@fastify/swagger`, which must have
   * version 3.1 and the `securitySchemes` of this module. Default false.
   */
  readonly openapi?: boolean
}

/** A verifier, or the options to create one. */
export type GatepassAuthOptions = (
  | { readonly verifier: Verifier }
  | VerifierOptions
  | IssuersOptions
) &
  DpopOptions &
  RefusalOptions &
  DescribeOptions &
  ResourceOption

export type { RouteAuth } from './guard.ts'
export type { ProtectedResource } from './protected-resource.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Claims of the access token; null on a route with `auth: false`, and in the `onRequest` hooks of the
     * application, which run before those of a route.
     */
    auth: AccessTokenClaims | null
  }
  interface FastifyContextConfig {
    /** Requirements of the route. false accepts requests without a token. */
    auth?: false | RouteAuth
  }
}

/**
 * Requires an access token (RFC 6750 §2.1) for the routes of the scope where it is registered, and of
 * the scopes within. The token is verified before the body is read.
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
 * Other requests are refused with `application/problem+json` (RFC 9457) and a challenge (RFC 6750 §3).
 * A scope that was registered before this plugin is not guarded, and neither is the handler for unknown
 * addresses, which is not a route. With `resource`, the plugin adds
 * the route of the metadata (RFC 9728).
 */
export const gatepassAuth = markPlugin<GatepassAuthOptions>(
  async (app, options) => {
    if (app.hasRequestDecorator('auth')) {
      throw new GatepassError('config_invalid', {
        detail:
          'gatepassAuth, or another plugin that adds request.auth, is registered here or in a scope ' +
          'around it. Register gatepassAuth for each part of the application in a scope of its own.',
      })
    }
    const verifier = openVerifier(app, options)
    const { requestTarget, onRefused, resource, openapi = false } = options
    checkFunction('requestTarget', requestTarget)
    checkFunction('onRefused', onRefused)
    if (typeof openapi !== 'boolean') {
      throw new GatepassError('config_invalid', { detail: 'openapi must be true or false.' })
    }
    const targetOf = requestTarget ?? readPublicUrl(options.publicUrl)
    const metadata = resource === undefined ? null : createResourceMetadata(verifier, resource)
    const guards = new WeakMap<object, RouteAuth | undefined>()
    const createRouteHook = (auth: RouteAuth | undefined) => {
      const hook = createHook(createGuard(verifier, auth, metadata?.url), targetOf, onRefused)
      guards.set(hook, auth)
      return hook
    }
    app.decorateRequest('auth', null)
    app.addHook('onRoute', (route) => {
      const auth = route.config?.auth
      if (auth === false) return
      const hooks = [route.onRequest ?? []].flat()
      // The HEAD route that Fastify adds to a GET route runs the hooks of the GET route.
      const isGuarded = hooks.some((hook) => guards.has(hook) && guards.get(hook) === auth)
      if (!isGuarded) route.onRequest = [createRouteHook(auth), ...hooks]
      if (openapi) route.schema = describeSecurity(route.schema, auth)
    })
    addChallenges(app, metadata?.url)
    // Added only if needed: a hook for each request costs as much as the check of a cached token.
    if (hasRoutes(app)) guardEarlyRoutes(app, createRouteHook)
    if (metadata !== null) publish(app, metadata)
  },
  { name: 'gatepass-auth' },
)

type Done = (error?: Error) => void
type Hook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void

/** Uses callbacks: for a cached token, a promise costs more than the check. */
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
    const isAnswered = watchSend(reply)
    try {
      await onRefused?.(error, request, reply)
    } catch (failure) {
      return done(failureOf(failure))
    }
    if (isAnswered() || reply.sent) return
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

/** The codes of refused tokens, and the code of a request without a token. */
const refusalCodes: ReadonlySet<string> = new Set(['token_missing', ...verificationOutcomes])

/**
 * Adds the challenge or `Retry-After` to a token that a handler refuses: one that verifies by itself,
 * or that uses session data once the session has ended.
 */
function addChallenges(app: FastifyInstance, metadataUrl: string | undefined): void {
  app.addHook('onError', async ({ headers }, reply, error: Error) => {
    if (!isGatepassError(error) || !refusalCodes.has(error.code)) return
    const scheme = authorizationScheme(headers.authorization) ?? 'Bearer'
    const added = Object.entries(challengeHeaders(error, '', scheme, metadataUrl))
    for (const [name, value] of added) if (!reply.hasHeader(name)) reply.header(name, value)
  })
}

/**
 * Returns a function that ends the watch, and tells whether `send` was called: `reply.sent` is false
 * while the hooks `onSend` run.
 */
function watchSend(reply: FastifyReply): () => boolean {
  const { send } = reply
  let isCalled = false
  reply.send = (payload) => {
    isCalled = true
    return send.call(reply, payload)
  }
  return () => {
    reply.send = send
    return isCalled
  }
}

/** Tells whether the application has routes already. */
function hasRoutes(app: FastifyInstance): boolean {
  return app.printRoutes() !== '(empty tree)'
}

/**
 * Guards the routes that were declared before the plugin was loaded, because `register` was not
 * awaited. Fastify calls no `onRoute` hook for them.
 */
function guardEarlyRoutes(
  app: FastifyInstance,
  createRouteHook: (auth: RouteAuth | undefined) => Hook,
): void {
  const hooks = new WeakMap<object, Hook>()
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (request.auth !== null || request.is404) return done(null, payload)
    const { config } = request.routeOptions
    if (config.auth === false) return done(null, payload)
    const hook = hooks.get(config) ?? createRouteHook(config.auth)
    hooks.set(config, hook)
    hook(request, reply, (error) => (error ? done(error) : done(null, payload)))
  })
}

/** Adds the public route of the metadata, unless another scope has added it. */
function publish(app: FastifyInstance, { path, headers, body }: ResourceMetadata): void {
  if (app.prefix !== '') {
    throw new GatepassError('config_invalid', {
      detail: 'With the option resource, register gatepassAuth in a scope without a prefix.',
    })
  }
  if (app.hasRoute({ method: 'GET', url: path })) return
  // The member hide leaves a route out of the document of @fastify/swagger.
  const schema = { hide: true }
  app.get(path, { config: { auth: false }, schema }, (_request, reply) =>
    reply.headers(headers).serializer(String).send(body),
  )
}

/** The security schemes of the routes, for `components` of an OpenAPI 3.1 document. */
export const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
  dpop: {
    type: 'http',
    scheme: 'dpop',
    description: 'A token that is bound to a key, with a proof in the header `DPoP` (RFC 9449).',
  },
} as const

/** Adds the required token to the schema of a route, for `@fastify/swagger`. */
function describeSecurity(schema: FastifySchema | undefined, auth: RouteAuth | undefined) {
  if (schema?.security !== undefined) return schema
  const scopes = auth?.scope?.split(' ').filter((scope) => scope !== '') ?? []
  return { ...schema, security: [auth?.dpop ? { dpop: scopes } : { bearer: scopes }] }
}

type AllOptions = VerifierOptions & GatepassAuthOptions & { readonly verifier?: Verifier }

/** Returns the given verifier, or creates one that is closed with the application. */
function openVerifier(app: FastifyInstance, options: GatepassAuthOptions): Verifier {
  // Fastify passes its own options of `register` to the plugin, too.
  const { prefix, logLevel, logSerializers, ...all } = options as AllOptions & RegisterOptions
  const { publicUrl, requestTarget, onRefused, openapi, resource, verifier: given, ...own } = all
  if (given) {
    checkVerifier(given)
    const [ignored] = Object.keys(own)
    if (ignored === undefined) return given
    throw new GatepassError('config_invalid', {
      detail: `With a verifier, gatepassAuth has no option ${ignored}: pass it to createVerifier.`,
    })
  }
  const verifier = createVerifier(own)
  app.addHook('onReady', async () => {
    // Not awaited: until the keys are loaded, the service answers 503.
    verifier.ready().catch((error: unknown) => app.log.warn(error))
  })
  app.addHook('onClose', () => verifier.close())
  return verifier
}
