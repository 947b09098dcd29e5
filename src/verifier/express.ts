/** The public entry `gatepass/express`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { readPublicUrl } from './dpop/request-target.ts'
import { createGuard, type RouteAuth } from './guard.ts'
import type { Verifier } from './verifier.ts'

export type { RouteAuth } from './guard.ts'

/** A request of Express, or of Connect and what is like it. */
export type ConnectRequest = IncomingMessage & {
  readonly originalUrl?: string
  readonly protocol?: string
  auth?: AccessTokenClaims
}

export type ConnectMiddleware = (
  request: ConnectRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

export interface ExpressAuthOptions extends RouteAuth {
  /** The public address of the service, for the proofs of DPoP tokens (RFC 9449). */
  readonly publicUrl?: string
}

/**
 * Lets requests with a good token pass, their claims in `request.auth`. Another goes to the error
 * handler of the application as a GatepassError, whose `status` Express answers with; the headers
 * that belong to it are set.
 *
 * ```ts
 * import express from 'express'
 * import { createVerifier } from 'gatepass'
 * import { requireToken } from 'gatepass/express'
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
 * @throws `config_invalid` if the demands are not of their form
 */
export function requireToken(
  verifier: Verifier,
  { publicUrl, ...auth }: ExpressAuthOptions = {},
): ConnectMiddleware {
  const guard = createGuard(verifier, auth)
  const targetOf = readPublicUrl(publicUrl)
  return (request, response, next) => {
    const refuse = (error: unknown) => {
      const headers = guard.challenge(error, request.headers)
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      next(error)
    }
    const admit = (claims: AccessTokenClaims) => {
      request.auth = claims
      next()
    }
    let claims: AccessTokenClaims | Promise<AccessTokenClaims>
    try {
      claims = guard.check(request.headers, () => ({ ...targetOf(targeted(request)), request }))
    } catch (error) {
      return refuse(error)
    }
    if (claims instanceof Promise) claims.then(admit, refuse)
    else admit(claims)
  }
}

function targeted({
  method = '',
  url = '',
  originalUrl = url,
  protocol,
  headers,
  socket,
}: ConnectRequest) {
  const isSecure = 'encrypted' in socket
  return {
    method,
    originalUrl,
    protocol: protocol ?? (isSecure ? 'https' : 'http'),
    host: headers.host ?? '',
  }
}
