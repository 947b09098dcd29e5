import type { FastifyInstance, FastifyReply } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError } from '../../core/errors.ts'
import { type AccessTokenClaims, hasScopes } from '../../tokens/claims.ts'
import { challengeHeaders } from '../../verifier/challenge.ts'
import { gatepassAuth } from '../../verifier/fastify.ts'
import type { Verifier } from '../../verifier/verifier.ts'
import { bearer } from '../openapi.ts'
import { claims, problem, verified, verifyQuery } from '../schemas.ts'

/** `/verify` for reverse proxies, and `/whoami` for people. */
export async function verifyRoutes(instance: FastifyInstance, verifier: Verifier): Promise<void> {
  await instance.register(gatepassAuth, { verifier })
  const app = instance.withTypeProvider<ZodTypeProvider>()

  // A proxy hands on the method and the headers of the request that it asks about, and perhaps its
  // body. None of that concerns us: a body is let through unread.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })

  app.route({
    method: app.supportedMethods,
    url: '/verify',
    schema: {
      summary: 'Forward-auth: is this request signed in?',
      description:
        'For nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth` and Envoy `ext_authz`. Takes any method; looks at `Authorization` only.',
      tags: ['verify'],
      security: bearer,
      querystring: verifyQuery,
      response: { 200: verified, default: problem },
    },
    handler: async (request, reply) => {
      const token = request.auth
      if (token === null) throw new GatepassError('token_missing')
      requireScope(token, request.query.scope ?? '', reply)
      return reply
        .headers(identityHeaders(token))
        .header('cache-control', 'no-store')
        .send(undefined)
    },
  })

  app.get(
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
      return { ...request.auth } as AccessTokenClaims
    },
  )
}

/** @throws `scope_insufficient` */
function requireScope(token: AccessTokenClaims, scope: string, reply: FastifyReply): void {
  if (hasScopes(token.scope, scope)) return
  const error = new GatepassError('scope_insufficient')
  reply.headers(challengeHeaders(error, scope))
  throw error
}

/** Who it is, for the service behind the proxy. The proxy must not let a client set these itself. */
function identityHeaders(token: AccessTokenClaims): Record<string, string> {
  return {
    'x-auth-subject': headerValue(token.sub),
    'x-auth-session': headerValue(token.sid ?? ''),
    'x-auth-scope': headerValue(token.scope ?? ''),
    'x-auth-client': headerValue(token.client_id),
  }
}

/** Percent-encodes all but printable ASCII, and `%` itself, so that no claim can break out. */
function headerValue(text: string): string {
  return text.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, (part) =>
    encodeURIComponent(part.toWellFormed()),
  )
}
