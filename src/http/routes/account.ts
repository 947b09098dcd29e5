import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError } from '../../core/errors.ts'
import type { Session } from '../../stores/ports.ts'
import { gatepassAuth } from '../../verifier/fastify.ts'
import { throwRefusal } from '../error-handler.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { bearer } from '../openapi.ts'
import { me, noContent, problem, sessionList, sessionParams } from '../schemas.ts'

/** Registers `/me`, `/sessions` and `/logout/all`, which need an access token. */
export async function accountRoutes(
  instance: FastifyInstance,
  { issuer, verifier, auditOf }: IssuerContext,
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { sessions, accounts } = issuer
  await app.register(gatepassAuth, {
    verifier,
    publicUrl: issuer.policy.issuer,
    onRefused: throwRefusal,
  })

  // The issuer reads the session itself, so a sign-out takes effect here immediately.
  app.addHook('preHandler', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    // The account is the user's own: a service that acts for the user has no business here.
    if (request.auth?.act !== undefined) throw new GatepassError('token_claims')
    const { sid } = request.auth ?? {}
    if (sid === undefined || (await sessions.find(sid)) === null) {
      throw new GatepassError('token_revoked')
    }
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
      const account = await accounts.findBySub(caller(request).sub)
      if (account === null || account.disabled) throw new GatepassError('token_revoked')
      return {
        sub: account.sub,
        username: account.loginName,
        attributes: { ...account.attributes },
        created_at: new Date(account.createdAtMs).toISOString(),
      }
    },
  )

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
      const { sub, sid } = caller(request)
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
      await sessions.revokeOwn(caller(request).sub, request.params.id, auditOf(request))
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
      await sessions.logoutAll(caller(request).sub, auditOf(request))
      return reply.code(204).send(undefined)
    },
  )
}

/** Returns the verified claims. The guard refuses requests without them. */
function caller(request: FastifyRequest) {
  if (request.auth === null) throw new GatepassError('token_missing')
  return request.auth
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
