import { hash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { type Server, startServer } from '../harness/processes.ts'
import type { Bench, Scenario } from '../harness/scenario.ts'
import { serverSubject } from '../harness/subjects.ts'
import {
  clientCredentialsRequest,
  type HttpRequest,
  initialTokens,
  serviceClient,
} from '../harness/traffic.ts'
import { createIssuer, newSecret } from '../issuer.ts'
import { issuerWithSessions, refreshSubject, sessions, signing, signingSubject } from './refresh.ts'

/** The first route signs in DER. Node's conversion to the form of ES256 takes as long as the signature. */
const limits = [signing, `${signing} ES256`]
const ownRefresh = 'refresh by /refresh'
const rival = { service: 'oidc-provider, client_credentials', refresh: 'oidc-provider, refresh' }
/** As long as the response of `client_credentials`. */
const answer = JSON.stringify({ access_token: 'a'.repeat(520) })

export const oauth: Scenario = {
  name: 'oauth',
  title: 'the token endpoint: client_credentials, and a refresh compared with /refresh',
  async ours(bench) {
    const secret = `gps_${newSecret()}`
    const clients = [
      {
        client_id: serviceClient.id,
        auth_method: 'client_secret_basic',
        secret_hashes: [`sha256.${hash('sha256', secret, 'base64url')}`],
        grants: ['client_credentials'],
        scopes: { 'data:read': [], 'data:write': [] },
      },
    ]
    const settings = { GATEPASS_CLIENTS: JSON.stringify(clients) }
    const { start } = createIssuer({ name: 'oauth', users: sessions, settings }, bench)
    const request = clientCredentialsRequest('/oauth/token', serviceClient.id, secret)
    const refresh = issuerWithSessions({ name: 'oauth-refresh' }, bench)
    const byOauth = { ...refresh, dialect: 'gatepassOAuth' } as const
    return [
      serviceSubject('client_credentials', request, start, [...limits, rival.service], bench),
      refreshSubject('refresh by /oauth/token', byOauth, [ownRefresh, rival.refresh], bench),
      refreshSubject(ownRefresh, { ...refresh, dialect: 'json' }, [rival.refresh], bench),
    ]
  },
  async rivals(bench) {
    const { id, secret } = serviceClient
    const request = clientCredentialsRequest('/token', id, secret)
    const start = () => startServer('programs/oidc-provider', [String(sessions)], bench)
    const refresh = { start, dialect: 'oauth', tokens: initialTokens(sessions) } as const
    return [
      serviceSubject(rival.service, request, start, limits, bench),
      refreshSubject(rival.refresh, refresh, [], bench),
      ...limits.map((name) => signingSubject(name, answer, bench)),
    ]
  },
}

function serviceSubject(
  name: string,
  request: HttpRequest,
  start: () => Promise<Server>,
  comparedWith: readonly string[],
  bench: Bench,
) {
  const check = (url: string) => checkServiceToken(url, request)
  const traffic = () => ({ requests: [request] })
  return serverSubject({ name, comparedWith, start, check, traffic }, bench)
}

/** Checks that the service gets a token of its own, signed with ES256, and that a wrong secret gets none. */
async function checkServiceToken(url: string, request: HttpRequest): Promise<void> {
  const { path, ...init } = request
  const response = await fetch(`${url}${path}`, init)
  const { access_token = '' } = (await response.json()) as Record<string, string>
  if (!response.ok) throw new Error(`${path} was answered ${response.status}`)
  if (decodeProtectedHeader(access_token).alg !== 'ES256')
    throw new Error('the access token has another alg')
  if (decodeJwt(access_token).sub !== serviceClient.id)
    throw new Error('the access token has another sub')
  const wrong = clientCredentialsRequest(path, serviceClient.id, `gps_${newSecret()}`)
  const refused = await fetch(`${url}${path}`, { ...init, ...wrong })
  if (refused.status !== 401) throw new Error('a wrong secret is accepted')
}
