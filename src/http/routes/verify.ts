import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError } from '../../core/errors.ts'
import { addressesIn } from '../../core/networks.ts'
import { isPromise } from '../../core/promise.ts'
import type { AccessTokenClaims } from '../../tokens/access-token.ts'
import { type RequestTarget, readPublicUrl } from '../../verifier/dpop/target-uri.ts'
import { createGuard } from '../../verifier/guard.ts'
import type { Verifier } from '../../verifier/verifier.ts'
import { callerOf } from '../app.ts'
import { bearer, claims, problem, verified, verifyQuery } from '../schemas.ts'

/**
 * Registers `/verify` for reverse proxies.
 *
 * @param requestTarget returns the request that a proxy asks about, for its DPoP proof
 */
export async function verifyRoutes(
  instance: FastifyInstance,
  verifier: Verifier,
  requestTarget: (request: FastifyRequest) => RequestTarget,
): Promise<void> {
  const guard = createGuard(verifier)
  const app = instance.withTypeProvider<ZodTypeProvider>()

  // A proxy passes on the method, the headers and maybe the body of the request that it asks about.
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
  // The body is discarded unread. Fastify would refuse a malformed content type, and QUERY without one.
  app.addHook('onRequest', (request, _reply, done) => {
    request.headers['content-type'] = 'application/octet-stream'
    done()
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })

  app.route({
    method: app.supportedMethods,
    url: '/verify',
    schema: {
      summary: 'Forward-auth: verifies the access token of a request',
      description:
        'For nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth` and Envoy `ext_authz`. Accepts every method and reads `Authorization`. For a DPoP token it also reads `DPoP`, and `X-Forwarded-Method`, `-Uri`, `-Proto` and `-Host` of a trusted proxy.',
      tags: ['verify'],
      security: bearer,
      querystring: verifyQuery,
      response: { 200: verified, default: problem },
    },
    handler: (request, reply) => {
      const { headers } = request
      const { scope } = request.query
      const admit = (token: AccessTokenClaims) => {
        const identity = identityHeaders(token)
        if (identity === null) {
          const detail = 'No header can carry the claims.'
          return refuse(new GatepassError('token_claims', { detail }))
        }
        reply.headers(identity).header('cache-control', 'no-store').send(undefined)
      }
      const refuse = (thrown: unknown) => {
        const refusal = guard.refusal(thrown, headers, scope)
        reply.headers(refusal.headers)
        throw refusal.error
      }
      let claims: AccessTokenClaims | Promise<AccessTokenClaims>
      try {
        const target = () => ({ ...requestTarget(request), request })
        claims = guard.check(headers, target, scope)
      } catch (error) {
        return refuse(error)
      }
      return isPromise(claims) ? claims.then(admit, refuse) : admit(claims)
    },
  })
}

/** Registers `/whoami` on a guarded instance. */
export function whoamiRoute(instance: FastifyInstance): void {
  instance.withTypeProvider<ZodTypeProvider>().get(
    '/whoami',
    {
      schema: {
        summary: 'The verified claims',
        tags: ['verify'],
        security: bearer,
        response: { 200: claims, default: problem },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      return callerOf(request)
    },
  )
}

/**
 * Returns the identity headers for the service behind the proxy. The proxy must not let a client set
 * these headers.
 *
 * @returns null if a claim is not well-formed Unicode, which no header can carry
 */
export function identityHeaders(token: AccessTokenClaims): Record<string, string> | null {
  const { sub, sid = '', scope = '', client_id = '' } = token
  if (![sub, sid, scope, client_id].every((claim) => claim.isWellFormed())) return null
  return {
    'x-auth-subject': headerValue(sub),
    'x-auth-session': headerValue(sid),
    'x-auth-scope': headerValue(scope),
    'x-auth-client': headerValue(client_id),
  }
}

/** Matches what a header field cannot carry exactly (RFC 9110 §5.5), and `%`, which marks it. */
const unsafe = /[^\x20-\x24\x26-\x7e]|^ | $/

/** Percent-encodes `%`, everything but printable ASCII, and outer spaces, which HTTP removes. */
function headerValue(text: string): string {
  if (!unsafe.test(text)) return text
  return text.replaceAll(/[^\x20-\x24\x26-\x7e]+|^ +|(?<! ) +$/g, encodeURIComponent)
}

export interface ForwardedTargetOptions {
  /** Proxies whose `X-Forwarded-*` headers are trusted: addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[]
  /** Public URL of the services behind the proxy. */
  readonly publicUrl?: string | undefined
}

/**
 * Returns a function that finds the request that a proxy asks about, for its DPoP proof. A trusted proxy
 * describes it in `X-Forwarded-Method`, `-Uri`, `-Proto` and `-Host`. Any client can send these headers, so
 * for other senders the function returns the request itself.
 */
export function forwardedTarget(
  options: ForwardedTargetOptions,
): (request: FastifyRequest) => RequestTarget {
  const { trustedProxies, publicUrl } = options
  const isTrusted = addressesIn(trustedProxies)
  const ownTarget = readPublicUrl(publicUrl)
  return (request) => {
    const { headers, socket } = request
    const path = joined(headers['x-forwarded-uri'])
    if (path === undefined || !isTrusted(socket.remoteAddress ?? '')) return ownTarget(request)
    const proto = joined(headers['x-forwarded-proto'])
    const host = joined(headers['x-forwarded-host'])
    const base = publicUrl ?? `${proto}://${host}`
    const isPath = path.startsWith('/') && !path.includes(' ')
    // A missing or repeated header results in a target that no proof matches.
    return {
      method: joined(headers['x-forwarded-method']) ?? '',
      uri: isPath ? `${base}${path}` : '',
    }
  }
}

function joined(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(', ') : header
}
