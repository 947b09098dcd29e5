import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError } from '../../core/errors.ts'
import { attributeClaims, claimNames, openidScope } from '../../issuer/clients.ts'
import { isActive } from '../../issuer/users.ts'
import { readParameters, refuseRepeated } from '../../oauth/authorization-request.ts'
import { gatepassAuth } from '../../verifier/fastify.ts'
import { throwRefusal } from '../error-handler.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { signedOutPage, signOutPage } from '../pages/page.ts'
import { bearer, pageResponses, problem, userInfo } from '../schemas.ts'
import { formOf, formType } from './oauth.ts'
import { endSessionUrl, Pages, queryOf, servePages } from './oauth-pages.ts'

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
        const names = client === undefined ? [] : claimNames(client, scope)
        return { ...attributeClaims(account, names), sub: account.sub }
      },
    })
  }
}

/**
 * Registers `/oauth/logout`, to which applications send users to sign out (OpenID Connect
 * RP-Initiated Logout).
 */
export function endSessionRoutes(app: FastifyInstance, context: IssuerContext): void {
  const { issuer, oauth, signInCookie, auditOf } = context
  const { signIns, signOut } = oauth
  const pages = new Pages(context)
  servePages(app, pages)
  const schema = {
    summary: 'Sign out at the issuer, for a client',
    tags: ['oauth'],
    produces: ['text/html'],
    response: pageResponses,
  }

  /** Signs the user out, or asks first if a question is needed and `isConfirmed` is false. */
  async function end(
    request: FastifyRequest,
    reply: FastifyReply,
    parameters: Readonly<Record<string, string>>,
    isConfirmed: boolean,
  ): Promise<FastifyReply> {
    const asked = await signOut.read(parameters)
    const signIn = await signIns.find(signInCookie.read(request))
    const frame = pages.frame(request, parameters.ui_locales)
    if (!isConfirmed && signOut.needsConfirmation(asked, signIn)) {
      const startedAtMs = issuer.clock.nowMs()
      const interaction = pages.encode(request, reply, { parameters, startedAtMs })
      const page = signOutPage(frame, { interaction })
      return pages.send(reply, page, parameters.post_logout_redirect_uri)
    }
    await signOut.end(asked, signIn, auditOf(request))
    signInCookie.clear(reply)
    if (asked.url !== null) return pages.redirect(reply, asked.url)
    return pages.send(reply, signedOutPage(frame))
  }

  app.get(endSessionUrl, { exposeHeadRoute: false, schema }, async (request, reply) => {
    const { values, repeated } = readParameters(queryOf(request))
    refuseRepeated(repeated)
    return end(request, reply, values, false)
  })

  // Without `interaction` the form is from an application.
  app.post(endSessionUrl, { schema: { hide: true } }, async (request, reply) => {
    if (!formOf(request).has('interaction')) {
      return pages.redirectForm(request, reply, pages.paths.signOut)
    }
    const { interaction } = pages.readForm(request)
    return end(request, reply, interaction.parameters, true)
  })
}
