import { hash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { startServer } from '../harness/processes.ts'
import type { Bench, Scenario } from '../harness/scenario.ts'
import { type ServedSubject, served } from '../harness/subjects.ts'
import {
  clientCredentialsRequest,
  type HttpRequest,
  initialToken,
  refreshRequest,
  serviceClient,
} from '../harness/traffic.ts'
import { createIssuer, newSecret } from '../issuer.ts'
import { issuerWithSessions, rotating, signing } from './refresh.ts'

/** Enough sessions that the rows of one commit lie on different pages. */
const sessions = 8_192
/** As long as the answer to a service. */
const answer = JSON.stringify({ access_token: 'a'.repeat(520) })
const noGrace = { GATEPASS_GRACE_S: '0' }

export const oauth: Scenario = {
  name: 'oauth',
  title: 'the token endpoint: a token of a service, and a refresh beside /refresh',
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
    const issuer = await createIssuer(
      {
        ...{ name: 'oauth', store: 'SQLite', users: 1, hash: 'least' },
        settings: { GATEPASS_CLIENTS: JSON.stringify(clients) },
      },
      bench,
    )
    const request = clientCredentialsRequest('/oauth/token', serviceClient.id, secret)
    const spec = { name: 'oauth-refresh', store: 'SQLite', users: sessions, hash: 'least' } as const
    const refresh = await issuerWithSessions({ ...spec, settings: noGrace }, sessions, bench)
    const [checked = '', ...tokens] = refresh.tokens
    const common = { start: refresh.start, checked, tokens }
    return [
      forService('client_credentials', request, issuer.start, bench),
      rotating('refresh by /oauth/token', { ...common, dialect: 'gatepassOAuth' }, bench),
      rotating('refresh by /refresh', { ...common, dialect: 'gatepass' }, bench),
    ]
  },
  async rivals(bench) {
    const { id, secret } = serviceClient
    const request = clientCredentialsRequest('/token', id, secret)
    const tokens = Array.from({ length: sessions }, (_, n) => initialToken(n + 1))
    const count = String(tokens.length + 1)
    const start = () => startServer('programs/oidc-provider', [count], bench)
    const refresh = { start, dialect: 'oauth', checked: initialToken(0), tokens } as const
    const startSigning = () => startServer('programs/fastify', [signing, '{}', answer], bench)
    const traffic = () => ({ kind: 'requests', requests: [refreshRequest('opaque', 'a')] }) as const
    return [
      forService('oidc-provider, client_credentials', request, start, bench),
      rotating('oidc-provider, refresh', refresh, bench),
      served({ name: signing, start: startSigning, traffic }, bench),
    ]
  },
}

function forService(
  name: string,
  request: HttpRequest,
  start: ServedSubject['start'],
  bench: Bench,
) {
  const check = (url: string) => checkServiceToken(url, request)
  const traffic = () => ({ kind: 'requests', requests: [request] }) as const
  return served({ name, limit: signing, start, check, traffic }, bench)
}

/** That the token is of the service and signed by ES256, and that a wrong secret gets none. */
async function checkServiceToken(url: string, request: HttpRequest): Promise<void> {
  const { path, ...init } = request
  const response = await fetch(`${url}${path}`, init)
  const { access_token = '' } = (await response.json()) as Record<string, string>
  if (!response.ok) throw new Error(`${path} was answered ${response.status}`)
  if (decodeProtectedHeader(access_token).alg !== 'ES256') throw new Error('another alg')
  if (decodeJwt(access_token).sub !== serviceClient.id) throw new Error('another sub')
  const wrong = clientCredentialsRequest(path, serviceClient.id, `gps_${newSecret()}`)
  const refused = await fetch(`${url}${path}`, { ...init, ...wrong })
  if (refused.status !== 401) throw new Error('a wrong secret is accepted')
}
