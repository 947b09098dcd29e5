import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError } from '../../core/errors.ts'
import { attributeClaims, type Client, type Clients } from '../../issuer/clients.ts'
import { isActive } from '../../issuer/users.ts'
import type { Consent } from '../../oauth/consents.ts'
import type { Session } from '../../stores/ports.ts'
import type { AccessTokenClaims } from '../../tokens/access-token.ts'
import { callerOf } from '../app.ts'
import type { IssuerContext } from '../issuer-app.ts'
import {
  bearer,
  consentList,
  consentParams,
  me,
  noContent,
  problem,
  sessionList,
  sessionParams,
} from '../schemas.ts'

/** Registers `/me`, `/sessions`, `/consents` and `/logout/all`, which need an access token. */
export async function accountRoutes(
  instance: FastifyInstance,
  context: IssuerContext,
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { sessions, accounts, clients } = context.issuer

  // The issuer reads the session itself, so a sign-out takes effect here immediately.
  app.addHook('preHandler', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const sid = ownSessionOf(callerOf(request))
    if ((await sessions.find(sid)) === null) throw new GatepassError('token_revoked')
  })

  app.get(
    '/me',
    {
      schema: {
        summary: "The user's own record",
        tags: ['account'],
        security: bearer,
        response: { 200: me, default: problem },
      },
    },
    async (request) => {
      const { sub, scope = '' } = callerOf(request)
      const account = await accounts.findBySub(sub)
      if (!isActive(account)) throw new GatepassError('token_revoked')
      const client = thirdPartyOf(request, clients)
      return {
        sub: account.sub,
        username: account.loginName,
        attributes: client ? attributeClaims(account, client, scope) : { ...account.attributes },
        created_at: new Date(account.createdAtMs).toISOString(),
      }
    },
  )

  await app.register(async (scope) => {
    scope.addHook('preHandler', async (request) => {
      // The scopes of a third party do not cover the devices of the user.
      if (thirdPartyOf(request, clients) !== null) throw new GatepassError('client_not_allowed')
    })
    sessionRoutes(scope, context)
    consentRoutes(scope, context)
  })
}

/** Registers `/sessions` and `/logout/all` on a guarded instance. */
function sessionRoutes(instance: FastifyInstance, { issuer, auditOf }: IssuerContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { sessions } = issuer

  app.get(
    '/sessions',
    {
      schema: {
        summary: "The user's devices",
        tags: ['account'],
        security: bearer,
        response: { 200: sessionList, default: problem },
      },
    },
    async (request) => {
      const { sub, sid } = callerOf(request)
      return { sessions: (await sessions.list(sub)).map((one) => toDevice(one, sid)) }
    },
  )

  app.delete(
    '/sessions/:id',
    {
      schema: {
        summary: 'Sign one device out',
        tags: ['account'],
        security: bearer,
        params: sessionParams,
        response: { 204: noContent, default: problem },
      },
    },
    async (request, reply) => {
      await sessions.revokeOwn(callerOf(request).sub, request.params.id, auditOf(request))
      return reply.code(204).send(undefined)
    },
  )

  app.post(
    '/logout/all',
    {
      schema: {
        summary: 'Sign out on every device',
        tags: ['account'],
        security: bearer,
        response: { 204: noContent, default: problem },
      },
    },
    async (request, reply) => {
      await sessions.logoutAll(callerOf(request).sub, auditOf(request))
      return reply.code(204).send(undefined)
    },
  )
}

/** Registers `/consents` on a guarded instance. */
function consentRoutes(instance: FastifyInstance, { oauth, auditOf }: IssuerContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { consents } = oauth

  app.get(
    '/consents',
    {
      schema: {
        summary: 'The third-party applications that the user has allowed',
        tags: ['account'],
        security: bearer,
        response: { 200: consentList, default: problem },
      },
    },
    async (request) => ({ consents: (await consents.list(callerOf(request).sub)).map(toConsent) }),
  )

  app.delete(
    '/consents/:client_id',
    {
      schema: {
        summary: 'Withdraw the consent for an application, and end its sessions',
        tags: ['account'],
        security: bearer,
        params: consentParams,
        response: { 204: noContent, default: problem },
      },
    },
    async (request, reply) => {
      await consents.withdraw(request.params.client_id, callerOf(request).sub, auditOf(request))
      return reply.code(204).send(undefined)
    },
  )
}

/**
 * Returns the session of a token with which a user manages the account.
 *
 * @throws `token_claims` for the token of a service, also of one that acts for the user
 */
export function ownSessionOf({ sid, act }: AccessTokenClaims): string {
  if (sid !== undefined && act === undefined) return sid
  const detail = 'Send an access token of the user. This one is of a service.'
  throw new GatepassError('token_claims', { detail })
}

/** Returns the client of a request's token; null for a client of the operator. */
function thirdPartyOf(request: FastifyRequest, clients: Clients): Client | null {
  const { client_id = '' } = callerOf(request)
  const client = clients.find(client_id) ?? { client_id, scopes: {}, third_party: true }
  return client.third_party ? client : null
}

function toConsent({ client, scopes }: Consent) {
  const { client_id, client_name = client_id } = client
  return { client_id, client_name, scope: scopes.join(' ') }
}

function toDevice(session: Session, currentSid: string | undefined) {
  return {
    session_id: session.sid,
    client_id: session.clientId,
    scope: session.scope,
    user_agent: session.userAgent,
    created_at: new Date(session.createdAtMs).toISOString(),
    last_used_at: new Date(session.mintedAtMs).toISOString(),
    expires_at: new Date(session.expiresAtMs).toISOString(),
    current: session.sid === currentSid,
  }
}
