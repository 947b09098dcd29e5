import type { FastifyInstance } from 'fastify'
import { GatepassError } from '../../core/errors.ts'
import { attributeClaims, openidScope } from '../../issuer/clients.ts'
import { isActive } from '../../issuer/users.ts'
import { gatepassAuth } from '../../verifier/fastify.ts'
import { throwRefusal } from '../error-handler.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { bearer, problem, userInfo } from '../schemas.ts'
import { formType } from './oauth.ts'

export const userInfoUrl = '/oauth/userinfo'

/**
 * Registers `/oauth/userinfo`: the claims about a user that the scopes of a token select (OpenID
 * Connect Core §5.3).
 */
export async function userInfoRoutes(
  app: FastifyInstance,
  { issuer, verifier }: IssuerContext,
): Promise<void> {
  const { sessions, accounts, clients } = issuer
  await app.register(gatepassAuth, {
    verifier,
    publicUrl: issuer.policy.issuer,
    onRefused: throwRefusal,
  })
  // OpenID Connect Core §5.3.1: clients may also send POST. Its body is ignored.
  app.addContentTypeParser(formType, (_request, _body, done) => done(null))
  for (const method of ['GET', 'POST'] as const) {
    app.route({
      method,
      url: userInfoUrl,
      config: { auth: { scope: openidScope } },
      schema: {
        // The document describes GET only.
        hide: method === 'POST',
        summary: 'Claims about the user of a token (OpenID Connect Core §5.3)',
        tags: ['oauth'],
        security: bearer,
        response: { 200: userInfo, default: problem },
      },
      handler: async (request, reply) => {
        reply.header('cache-control', 'no-store')
        const { sub, sid = '', client_id: clientId, scope = '' } = request.auth ?? {}
        const session = await sessions.find(sid)
        const account = sub === undefined || session === null ? null : await accounts.findBySub(sub)
        if (!isActive(account)) throw new GatepassError('token_revoked')
        const client = clients.find(clientId ?? '')
        const claims = Object.entries(client ? attributeClaims(account, client, scope) : {})
        // OpenID Connect Core §5.3.2: a claim without a value is left out.
        const known = claims.filter(([, value]) => value !== null && value !== '')
        return { ...Object.fromEntries(known), sub: account.sub }
      },
    })
  }
}
