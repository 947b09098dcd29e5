import type { FastifyInstance } from 'fastify'
import { authMethods } from '../../issuer/clients.ts'
import { acrOf } from '../../issuer/token-minter.ts'
import { prompts } from '../../oauth/authorization-request.ts'
import type { AuthorizationServer } from '../../oauth/authorization-server.ts'
import { algorithmNames } from '../../tokens/algorithms.ts'
import { matchesETag } from '../conditional-requests.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { uiLocales } from '../pages/texts.ts'
import { jwks, notModified, problem, serverMetadata } from '../schemas.ts'
import {
  introspectionUrl,
  pushedRequestUrl,
  revocationUrl,
  tokenUrl,
  userInfoUrl,
} from './oauth.ts'
import { authorizationUrl, endSessionUrl } from './oauth-pages.ts'

const jwksUrl = '/.well-known/jwks.json'

/** The claims of an ID token that are not attributes of the account. */
const ownClaims = ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'acr', 'amr', 'sid']

/** Registers the JWKS (RFC 7517) and the metadata of the issuer (RFC 8414). */
export function wellKnownRoutes(
  app: FastifyInstance,
  { issuer, oauth, keys }: IssuerContext,
): void {
  const issuerUrl = issuer.policy.issuer

  app.get(
    jwksUrl,
    {
      schema: {
        summary: 'The public keys (RFC 7517)',
        tags: ['discovery'],
        produces: ['application/jwk-set+json'],
        response: { 200: jwks, 304: notModified, default: problem },
      },
    },
    (request, reply) => {
      const { body, etag, maxAgeSeconds } = keys.jwks()
      reply.header('etag', etag).header('cache-control', `public, max-age=${maxAgeSeconds}`)
      if (matchesETag(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.type('application/jwk-set+json').serializer(String).send(body)
    },
  )

  // The scopes and attributes change with the clients.
  const metadata = () => ({
    issuer: issuerUrl,
    jwks_uri: issuerUrl + jwksUrl,
    scopes_supported: issuer.clients.scopesSupported,
    claims_supported: [...ownClaims, ...issuer.clients.attributesSupported],
    ...oauthMetadata(issuerUrl, oauth),
    id_token_signing_alg_values_supported: [...new Set(keys.publicKeys().map(({ alg }) => alg))],
    dpop_signing_alg_values_supported: algorithmNames,
    service_documentation: `${issuerUrl}/openapi.json`,
  })
  const [oauthUrl, openidUrl] = metadataUrls(issuerUrl)
  for (const [url, summary] of [
    [oauthUrl, 'The metadata of the issuer (RFC 8414)'],
    [openidUrl, 'The metadata of the issuer (OpenID Connect Discovery)'],
  ] as const) {
    const response = { 200: serverMetadata, default: problem }
    const schema = { summary, tags: ['discovery'], response }
    app.get(url, { schema }, async (_request, reply) =>
      reply
        .type('application/json')
        .header('cache-control', 'public, max-age=300')
        .serializer(JSON.stringify)
        .send(metadata()),
    )
  }
}

/** Returns the paths of the OAuth metadata, the OpenID Connect metadata and the keys. */
export function metadataUrls(issuerUrl: string): readonly [string, string, string] {
  const { pathname } = new URL(issuerUrl)
  return [
    // RFC 8414 §3: the path of the issuer follows the well-known path.
    `/.well-known/oauth-authorization-server${pathname === '/' ? '' : routePatternOf(pathname)}`,
    // OpenID Connect Discovery §4: the path of the issuer comes first, and a proxy removes it.
    '/.well-known/openid-configuration',
    jwksUrl,
  ]
}

/** The router compares decoded paths, and reads a single colon as the start of a parameter. */
function routePatternOf(pathname: string): string {
  return decodeURI(pathname).replaceAll(':', '::')
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
    authorization_endpoint: issuerUrl + authorizationUrl,
    authorization_response_iss_parameter_supported: true,
    pushed_authorization_request_endpoint: issuerUrl + pushedRequestUrl,
    code_challenge_methods_supported: ['S256'],
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    prompt_values_supported: prompts,
    ui_locales_supported: uiLocales,
    userinfo_endpoint: issuerUrl + userInfoUrl,
    end_session_endpoint: issuerUrl + endSessionUrl,
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
    subject_types_supported: ['public'],
    acr_values_supported: [acrOf(['pwd'])],
    claims_parameter_supported: false,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    grant_types_supported: tokenEndpoint.grantTypes,
  }
}
