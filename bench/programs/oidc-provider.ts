import { generateKeyPairSync, randomUUID } from 'node:crypto'
import Provider from 'oidc-provider'
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js'
import { initialTokens, oauthClientId, serviceClient } from '../harness/traffic.ts'
import { serveListener } from './serve.ts'

/**
 * The refresh and client_credentials grants of oidc-provider, set up as its documentation shows. A refresh
 * replaces the refresh token of a public client. Access tokens are JWTs for one resource. Its in-memory
 * adapter is limited to 1,000 entries, unless it has a Map. `oidc-provider <sessions>`
 */

const [sessions = '0'] = process.argv.slice(2)
const issuer = 'http://localhost:4000'
const resource = 'https://api.example.com'
const scope = 'data:read data:write'
const day_s = 24 * 3600

const stored = new Map<string, unknown>()
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const provider = new Provider(issuer, {
  adapter: (model: string) => new MemoryAdapter(model, stored),
  clients: [
    {
      client_id: oauthClientId,
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['https://app.example.com/callback'],
      id_token_signed_response_alg: 'ES256',
    },
    {
      client_id: serviceClient.id,
      client_secret: serviceClient.secret,
      grant_types: ['client_credentials'],
      id_token_signed_response_alg: 'ES256',
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  cookies: { keys: [randomUUID()] },
  ttl: { AccessToken: 300, Grant: 14 * day_s, IdToken: 300, RefreshToken: 14 * day_s },
  findAccount: (_context: unknown, accountId: string) => ({
    accountId,
    claims: () => ({ sub: accountId }),
  }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope,
        audience: resource,
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})

/** Creates the state after a sign-in with an authorization code. */
async function signIn(refreshToken: string): Promise<void> {
  const accountId = randomUUID()
  const client = await provider.Client.find(oauthClientId)
  const grant = new provider.Grant({ accountId, clientId: oauthClientId })
  grant.addResourceScope(resource, scope)
  await new provider.RefreshToken({
    jti: refreshToken,
    accountId,
    client,
    grantId: await grant.save(),
    gty: 'authorization_code',
    authTime: Math.floor(Date.now() / 1000),
    resource,
    scope: `offline_access ${scope}`,
  }).save()
}

for (const token of initialTokens(Number(sessions))) await signIn(token)
await serveListener(provider.callback())
