import type { FastifyInstance } from 'fastify'
import type { Issuer } from '../../issuer/issuer.ts'
import { algorithmNames } from '../../tokens/algorithms.ts'
import { matches } from '../conditional-requests.ts'
import { jwks, notModified, serverMetadata } from '../schemas.ts'

export interface WellKnownDeps {
  readonly issuerUrl: string
  readonly issuer: Pick<Issuer, 'scopesSupported'>
  /** The JWKS as it is now, with its ETag. */
  jwks(): { readonly body: string; readonly etag: string; readonly maxAgeSeconds: number }
}

/** What verifiers and client libraries look up: RFC 7517 keys and RFC 8414 metadata. */
export function wellKnownRoutes(app: FastifyInstance, deps: WellKnownDeps): void {
  app.get(
    '/.well-known/jwks.json',
    {
      schema: {
        summary: 'The public keys (RFC 7517)',
        tags: ['discovery'],
        response: { 200: jwks, 304: notModified },
      },
    },
    (request, reply) => {
      const { body, etag, maxAgeSeconds } = deps.jwks()
      reply.header('etag', etag).header('cache-control', `public, max-age=${maxAgeSeconds}`)
      if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.type('application/jwk-set+json').serializer(String).send(body)
    },
  )

  const metadata = JSON.stringify({
    issuer: deps.issuerUrl,
    jwks_uri: `${deps.issuerUrl}/.well-known/jwks.json`,
    scopes_supported: deps.issuer.scopesSupported,
    // Users sign in by POST /login; none of the OAuth grants is offered.
    response_types_supported: [],
    grant_types_supported: [],
    dpop_signing_alg_values_supported: algorithmNames,
    service_documentation: `${deps.issuerUrl}/openapi.json`,
  })
  // RFC 8414 §3: the path of an issuer's name stands behind the well-known part.
  const { pathname } = new URL(deps.issuerUrl)
  app.get(
    `/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`,
    {
      schema: {
        summary: 'The metadata of the issuer (RFC 8414)',
        tags: ['discovery'],
        response: { 200: serverMetadata },
      },
    },
    async (_request, reply) =>
      reply
        .type('application/json')
        .header('cache-control', 'public, max-age=300')
        .serializer(String)
        .send(metadata),
  )
}
