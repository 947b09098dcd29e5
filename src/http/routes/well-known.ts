import type { FastifyInstance } from 'fastify'
import { authMethods } from '../../issuer/clients.ts'
import type { AuthorizationServer } from '../../oauth/authorization-server.ts'
import { algorithmNames } from '../../tokens/algorithms.ts'
import { matchesETag } from '../conditional-requests.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { jwks, notModified, serverMetadata } from '../schemas.ts'
import { introspectionUrl, revocationUrl, tokenUrl } from './oauth.ts'

/** Registers the JWKS (RFC 7517) and the metadata of the issuer (RFC 8414). */
export function wellKnownRoutes(
  app: FastifyInstance,
  { issuer, oauth, keys }: IssuerContext,
): void {
  const issuerUrl = issuer.policy.issuer

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
      const { body, etag, maxAgeSeconds } = keys.jwks()
      reply.header('etag', etag).header('cache-control', `public, max-age=${maxAgeSeconds}`)
      if (matchesETag(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.type('application/jwk-set+json').serializer(String).send(body)
    },
  )

  // The scopes change with the clients.
  const metadata = () => ({
    issuer: issuerUrl,
    jwks_uri: `${issuerUrl}/.well-known/jwks.json`,
    scopes_supported: issuer.clients.scopesSupported(),
    ...oauthMetadata(issuerUrl, oauth),
    dpop_signing_alg_values_supported: algorithmNames,
    service_documentation: `${issuerUrl}/openapi.json`,
  })
  // RFC 8414 §3: the path of the issuer follows the well-known path.
  const { pathname } = new URL(issuerUrl)
  const paths = [
    `/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`,
    // OpenID Connect Discovery §4: here it precedes the well-known path, which a proxy removes.
    '/.well-known/openid-configuration',
  ]
  for (const path of paths) {
    app.get(
      path,
      {
        schema: {
          summary: 'The metadata of the issuer (RFC 8414, OpenID Connect Discovery)',
          tags: ['discovery'],
          response: { 200: serverMetadata },
        },
      },
      async (_request, reply) =>
        reply
          .type('application/json')
          .header('cache-control', 'public, max-age=300')
          .serializer(JSON.stringify)
          .send(metadata()),
    )
  }
}

/** RFC 8414 §2: the OAuth endpoints, each with the ways to authenticate there. */
function oauthMetadata(issuerUrl: string, { tokenEndpoint }: AuthorizationServer) {
  const confidential = authMethods.filter((method) => method !== 'none')
  return {
    token_endpoint: issuerUrl + tokenUrl,
    token_endpoint_auth_methods_supported: authMethods,
    token_endpoint_auth_signing_alg_values_supported: algorithmNames,
    revocation_endpoint: issuerUrl + revocationUrl,
    revocation_endpoint_auth_methods_supported: authMethods,
    revocation_endpoint_auth_signing_alg_values_supported: algorithmNames,
    introspection_endpoint: issuerUrl + introspectionUrl,
    introspection_endpoint_auth_methods_supported: confidential,
    introspection_endpoint_auth_signing_alg_values_supported: algorithmNames,
    // There is no authorization endpoint.
    response_types_supported: [],
    grant_types_supported: tokenEndpoint.grantTypes,
  }
}
