/** The public entry `@gatepass/verifier/express`. */

import { type GatepassError, problemType } from '../core/errors.ts'
import { isPromise } from '../core/promise.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { pathAndQuery, readPublicUrl, type TargetedRequest } from './dpop/target-uri.ts'
import {
  checkFunction,
  checkGuardOptions,
  createGuard,
  failureOf,
  type RouteAuth,
} from './guard.ts'
import {
  createResourceMetadata,
  type ProtectedResource,
  type ResourceOption,
} from './protected-resource.ts'
import type { Verifier } from './verifier.ts'

export type { RouteAuth } from './guard.ts'
export type { ProtectedResource } from './protected-resource.ts'

declare global {
  namespace Express {
    interface Request {
      /** Claims of the access token. Set by `requireToken`. */
      auth?: AccessTokenClaims
    }
  }
}

/** A request of Express, Connect, `node:http` or `node:http2`. */
export interface ConnectRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly originalUrl?: string | undefined
  readonly protocol?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly host?: string | undefined
    /** The host of a request of `node:http2`. */
    readonly ':authority'?: string | undefined
    readonly [name: string]: string | string[] | undefined
  }
  readonly socket: object
  /** The application of Express, with its settings. */
  readonly app?: { get(setting: string): unknown }
  auth?: AccessTokenClaims
}

/** A response of Express, Connect, `node:http` or `node:http2`. */
export interface ConnectResponse {
  statusCode: number
  readonly headersSent: boolean
  setHeader(name: string, value: string): unknown
  end(): unknown
  end(body: string): unknown
}

export type ConnectMiddleware = (
  request: ConnectRequest,
  response: ConnectResponse,
  next: (error?: unknown) => void,
) => void

export interface ExpressAuthOptions extends RouteAuth, ResourceOption {
  /**
   * Public address of the service, for DPoP proofs (RFC 9449). Default: the address that Express
   * derives from the request.
   */
  readonly publicUrl?: string
  /**
   * Sends the response to a refused request instead of the middleware. Status and challenge are set.
   * Must respond or call `next(error)`. A parameter may have a type of the framework, such as
   * `response: express.Response`.
   */
  onRefused?(
    error: GatepassError,
    request: ConnectRequest,
    response: ConnectResponse,
    next: (error?: unknown) => void,
  ): unknown
}

/**
 * Creates a middleware that requires a valid access token and sets `request.auth` to its claims. Other
 * requests are refused with `application/problem+json` (RFC 9457) and a challenge (RFC 6750 §3).
 *
 * ```ts
 * import express from 'express'
 * import { createVerifier } from '@gatepass/verifier'
 * import { requireToken } from '@gatepass/verifier/express'
 *
 * const verifier = createVerifier({
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 * })
 * const app = express()
 * app.get('/orders', requireToken(verifier, { scope: 'orders:read' }), (request, response) => {
 *   response.json({ user: request.auth?.sub })
 * })
 * ```
 *
 * @throws `config_invalid` if an option is invalid
 */
export function requireToken(
  verifier: Verifier,
  options: ExpressAuthOptions = {},
): ConnectMiddleware {
  const { publicUrl, resource, onRefused, ...auth } = checkGuardOptions(options)
  const metadata = resource === undefined ? null : createResourceMetadata(verifier, resource)
  const guard = createGuard(verifier, auth, metadata?.url)
  const targetOf = readPublicUrl(publicUrl)
  checkFunction('onRefused', onRefused)
  return (request, response, next) => {
    const refuse = async (thrown: unknown) => {
      // The application may have responded while the token was waiting for keys.
      if (response.headersSent) return
      const { error, headers, body } = guard.refusal(thrown, request.headers)
      response.statusCode = error.status
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      if (onRefused === undefined) {
        response.setHeader('content-type', problemType)
        response.end(body)
        return
      }
      try {
        await onRefused(error, request, response, next)
      } catch (failure) {
        next(failureOf(failure))
      }
    }
    const admit = (claims: AccessTokenClaims) => {
      request.auth = claims
      next()
    }
    let claims: AccessTokenClaims | Promise<AccessTokenClaims>
    try {
      claims = guard.check(request.headers, () => ({ ...targetOf(targeted(request)), request }))
    } catch (error) {
      return void refuse(error)
    }
    if (isPromise(claims)) claims.then(admit, refuse)
    else admit(claims)
  }
}

/**
 * Creates a middleware that publishes the metadata of a protected resource (RFC 9728) at its well-known
 * address, and passes on all other requests. Use it at the root of the application.
 *
 * ```ts
 * import express from 'express'
 * import { createVerifier } from '@gatepass/verifier'
 * import { requireToken, resourceMetadata } from '@gatepass/verifier/express'
 *
 * const resource = 'https://api.example.com/orders'
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: resource })
 * const app = express()
 * app.use(resourceMetadata(verifier, resource))
 * app.use('/orders', requireToken(verifier, { resource }))
 * ```
 *
 * @throws `config_invalid`
 */
export function resourceMetadata(
  verifier: Verifier,
  resource: string | ProtectedResource,
): ConnectMiddleware {
  const metadata = createResourceMetadata(verifier, resource)
  return (request, response, next) => {
    const [path = ''] = pathAndQuery(request.originalUrl ?? request.url ?? '').split('?')
    if (!metadata.isFor(request.method, path)) return next()
    for (const [name, value] of Object.entries(metadata.headers)) response.setHeader(name, value)
    response.end(metadata.body)
  }
}

function targeted(request: ConnectRequest): TargetedRequest {
  const { method = '', url = '', originalUrl = url, protocol, socket } = request
  // On Bun, the socket of a plain connection has the member, too.
  const isSecure = (socket as { encrypted?: boolean }).encrypted === true
  return {
    method,
    originalUrl,
    protocol: protocol ?? (isSecure ? 'https' : 'http'),
    host: hostOf(request),
  }
}

/** Express 4 reports a forwarded host without its port, so its `trust proxy` is asked directly. */
function hostOf({ app, headers, socket }: ConnectRequest): string {
  const isTrusted = app?.get('trust proxy fn') as TrustsProxy | undefined
  const { remoteAddress } = socket as { remoteAddress?: string }
  const [forwarded] = String(headers['x-forwarded-host'] ?? '').split(',', 1)
  if (forwarded && isTrusted?.(remoteAddress, 0)) return forwarded.trim()
  return headers.host ?? headers[':authority'] ?? ''
}

/** @param hop 0 for the peer of the connection */
type TrustsProxy = (address: string | undefined, hop: number) => boolean
