/** The public entry `gatepass/fastify`. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RegisterOptions } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { type AccessTokenClaims, hasScopes } from '../tokens/claims.ts'
import { isJsonObject } from '../tokens/json.ts'
import { bearerToken } from './bearer.ts'
import { challengeHeaders, isScopeList } from './challenge.ts'
import type { VerifierOptions } from './options.ts'
import { createVerifier, type Verifier } from './verifier.ts'

/** A verifier that is there already, or the options to make one of. */
export type GatepassAuthOptions = { readonly verifier: Verifier } | VerifierOptions

/** What a route asks of a token beyond being valid. */
export interface RouteAuth {
  /** The scopes it must have, all of them, separated by spaces (RFC 6749 §3.3). */
  readonly scope?: string
}

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

type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

/**
 * Guards the routes of the scope it is registered in, and of the scopes within: each asks for a
 * bearer token (RFC 6750 §2.1) before its body is read, unless its configuration says otherwise.
 *
 * ```ts
 * import Fastify from 'fastify'
 * import { gatepassAuth } from 'gatepass/fastify'
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
 * A refused request gets the GatepassError by way of the error handler of the application, with
 * the headers of the answer set. The handler for unknown addresses is no route and is not guarded.
 */
export const gatepassAuth = fastifyPlugin<GatepassAuthOptions>(
  async (app, options) => {
    const verifier = openVerifier(app, options)
    app.decorateRequest('auth', null)
    app.addHook('onRoute', (route) => {
      const auth = route.config?.auth
      if (auth === false) return
      route.onRequest = [createGuard(verifier, auth), ...[route.onRequest ?? []].flat()]
    })
    // A route that was declared after register(), but before the plugin was loaded for want of an
    // await, has escaped the hook above. It must not be open for that.
    app.addHook('preParsing', (request, reply, payload, done) => {
      const isSettled = request.auth !== null || request.is404
      const auth = isSettled ? false : request.routeOptions.config.auth
      if (auth === false) return done(null, payload)
      createGuard(verifier, auth)(request, reply).then(() => done(null, payload), done)
    })
  },
  { name: 'gatepass-auth', fastify: '5.x' },
)

/** The verifier that was passed in; or one of our own, which lives as long as the application. */
function openVerifier(app: FastifyInstance, options: GatepassAuthOptions): Verifier {
  if ('verifier' in options && options.verifier) return options.verifier
  // What Fastify itself takes along with the options of a plugin.
  const { prefix, logLevel, logSerializers, ...own } = options as VerifierOptions & RegisterOptions
  const verifier = createVerifier(own)
  app.addHook('onReady', async () => {
    // Not awaited: without keys the service answers 503, and may do so before they come.
    verifier.ready().catch((error: unknown) => app.log.warn(error))
  })
  app.addHook('onClose', () => verifier.close())
  return verifier
}

function createGuard(verifier: Verifier, auth: RouteAuth | undefined): Guard {
  const scope = readScope(auth)
  return async function guard(request, reply) {
    try {
      const claims = await verifier.verify(bearerToken(request.headers.authorization))
      if (!hasScopes(claims.scope, scope)) throw new GatepassError('scope_insufficient')
      request.auth = claims
    } catch (error) {
      if (isGatepassError(error)) reply.headers(challengeHeaders(error, scope))
      throw error
    }
  }
}

/** @throws `config_invalid`, as a misspelt demand must not be taken for none */
function readScope(auth: RouteAuth | undefined): string {
  if (auth === undefined) return ''
  if (isJsonObject(auth)) {
    const { scope, ...others } = auth
    const isKnown = Object.keys(others).length === 0
    if (isKnown && scope === undefined) return ''
    if (isKnown && typeof scope === 'string' && isScopeList(scope)) return scope
  }
  throw new GatepassError('config_invalid', {
    detail: 'The auth of a route must be false, or { scope } with scopes separated by spaces.',
  })
}
