/** The public entry `@gatepass/verifier/express`. */
import type { GatepassError } from '../core/errors.ts'
import { isPromise } from '../core/promise.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { readPublicUrl, type TargetedRequest } from './dpop/target-uri.ts'
import { checkOnRefused, createGuard, type RouteAuth } from './guard.ts'
import { problemType } from './refusal.ts'
import type { Verifier } from './verifier.ts'

export type { RouteAuth } from './guard.ts'

declare global {
  namespace Express {
    interface Request {
      /** The claims of the access token, behind `requireToken`. */
      auth?: AccessTokenClaims
    }
  }
}

/** The part of a request that is read: Express's, Connect's, or that of `node:http`. */
export interface ConnectRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly originalUrl?: string | undefined
  readonly protocol?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly host?: string | undefined
    readonly [name: string]: string | string[] | undefined
  }
  readonly socket: object
  auth?: AccessTokenClaims
}

/** The part of a response that is used: Express's, or that of `node:http`. */
export interface ConnectResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body?: string): unknown
}

export type ConnectMiddleware = (
  request: ConnectRequest,
  response: ConnectResponse,
  next: (error?: unknown) => void,
) => void

export interface ExpressAuthOptions extends RouteAuth {
  /** The public address of the service, for the proofs of DPoP tokens (RFC 9449). */
  readonly publicUrl?: string
  /**
   * Answers a refused request in place of the middleware. The status and the challenge of the
   * response are set. It must answer, or hand the error on with `next(error)`.
   */
  readonly onRefused?: (
    error: GatepassError,
    request: ConnectRequest,
    response: ConnectResponse,
    next: (error?: unknown) => void,
  ) => unknown
}

/**
 * Lets requests with a good token pass, their claims in `request.auth`. Answers any other request
 * with `application/problem+json` (RFC 9457) and its challenge (RFC 6750 §3).
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
 * @throws `config_invalid` if the options are not of their form
 */
export function requireToken(
  verifier: Verifier,
  { publicUrl, onRefused, ...auth }: ExpressAuthOptions = {},
): ConnectMiddleware {
  const guard = createGuard(verifier, auth)
  const targetOf = readPublicUrl(publicUrl)
  checkOnRefused(onRefused)
  return (request, response, next) => {
    const refuse = async (thrown: unknown) => {
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
        next(failure)
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

function targeted(request: ConnectRequest): TargetedRequest {
  const { method = '', url = '', originalUrl = url, protocol, headers, socket } = request
  const isSecure = 'encrypted' in socket
  return {
    method,
    originalUrl,
    protocol: protocol ?? (isSecure ? 'https' : 'http'),
    host: headers.host ?? '',
  }
}
