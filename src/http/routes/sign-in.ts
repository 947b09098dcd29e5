import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError, isGatepassError, refreshTokenEndedCodes } from '../../core/errors.ts'
import { isConfidential } from '../../issuer/clients.ts'
import { type SessionResponse, sessionResponse, type TokenSet } from '../../issuer/token-minter.ts'
import { readClientCredentials } from '../../oauth/client-authentication.ts'
import { presentedToken } from '../../verifier/guard.ts'
import { clientAddressOf, userAgentOf } from '../app.ts'
import { maxCookieSeconds } from '../cookies.ts'
import { letAnyPageRead } from '../cross-origin.ts'
import type { IssuerContext } from '../issuer-app.ts'
import {
  bearer,
  clientAuthentication,
  loginBody,
  loginHeaders,
  logoutBody,
  noContent,
  problem,
  type RefreshBody,
  refreshBody,
  refreshHeaders,
  tokenResponse,
} from '../schemas.ts'
import { ownSessionOf } from './account.ts'

/** How a client sends and receives the refresh token. */
type RefreshTokenTransport = 'cookie' | 'body'

export const loginUrl = '/login'

/** Registers `/login`, `/refresh` and `/logout`, which front ends call. */
export function signInRoutes(instance: FastifyInstance, context: IssuerContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { issuer, oauth, refreshCookie, deviceCookie, origins, provenKey, auditOf } = context

  /** Reads the refresh token from the body or the cookie. A cookie needs an allowed origin. */
  function presented(request: FastifyRequest) {
    const inBody = tokenInBody(request)
    if (inBody !== undefined) return { token: inBody, transport: 'body' } as const
    const token = refreshCookie.read(request)
    if (token === undefined) return null
    origins.check(request)
    return { token, transport: 'cookie' } as const
  }

  /**
   * A client with a secret sends it in `Authorization` (RFC 6749 §4.3.2). The body has no field for a
   * secret, so a client with `client_secret_post` does so too.
   */
  async function authenticateClient(request: FastifyRequest, clientId: string | undefined) {
    const client = issuer.clients.get(clientId)
    if (!isConfidential(client)) return
    const { client_id } = client
    const sent = readClientCredentials(request.headers.authorization, { client_id })
    const isPost = client.auth_method === 'client_secret_post'
    const credentials =
      isPost && 'secret' in sent ? { ...sent, method: 'client_secret_post' as const } : sent
    const address = clientAddressOf(request)
    await oauth.authentication.authenticate(credentials, { address, audit: auditOf(request) })
  }

  function respond(
    reply: FastifyReply,
    tokens: TokenSet,
    transport: RefreshTokenTransport,
    setsCookie = true,
  ): SessionResponse {
    reply.header('cache-control', 'no-store')
    if (transport === 'cookie' && setsCookie) {
      refreshCookie.set(reply, tokens.refreshToken, tokens.refreshExpiresInSeconds)
    }
    return sessionResponse(tokens, transport === 'body')
  }

  app.post(
    loginUrl,
    {
      onRequest: async (request, reply) => {
        if (origins.allows(request)) return
        letAnyPageRead(reply)
        throw new GatepassError('origin_not_allowed')
      },
      schema: {
        summary: 'Sign in with a password',
        tags: ['sign-in'],
        security: clientAuthentication,
        headers: loginHeaders,
        body: loginBody,
        response: { 200: tokenResponse, default: problem },
      },
    },
    async (request, reply) => {
      const jkt = provenKey(request)
      const { username, password, scope, client_id, resource, refresh_token_in } = request.body
      await authenticateClient(request, client_id)
      const tokens = await issuer.login.signIn(
        {
          username,
          password,
          scope,
          clientId: client_id,
          resource,
          userAgent: userAgentOf(request),
          address: clientAddressOf(request),
          deviceToken: deviceCookie.read(request),
          jkt,
        },
        auditOf(request),
      )
      const body = respond(reply, tokens, refresh_token_in)
      if (refresh_token_in === 'cookie') {
        deviceCookie.set(reply, tokens.deviceToken, maxCookieSeconds)
      }
      return body
    },
  )

  app.post(
    '/refresh',
    {
      schema: {
        summary: 'Replace the refresh token and get the next access token',
        tags: ['sign-in'],
        security: [{ cookie: [] }, {}],
        headers: refreshHeaders,
        body: refreshBody,
        response: { 200: tokenResponse, default: problem },
      },
    },
    async (request, reply) => {
      const found = presented(request)
      if (found === null) throw new GatepassError('refresh_token_missing')
      const tokens = await issuer.refresh.rotate(
        {
          refreshToken: found.token,
          idempotencyKey: request.headers['idempotency-key'],
          jkt: provenKey(request),
          resource: request.body?.resource,
        },
        auditOf(request),
      )
      return respond(reply, tokens, found.transport, tokens.setsCookie)
    },
  )

  app.post(
    '/logout',
    {
      schema: {
        summary: 'Sign out on this device',
        tags: ['sign-in'],
        security: [{ cookie: [] }, ...bearer, {}],
        body: logoutBody,
        response: { 204: noContent, default: problem },
      },
    },
    async (request, reply) => {
      const found = presented(request)
      const sid = found
        ? issuer.refreshTokens.parse(found.token).sid
        : await sessionOfToken(request, context)
      await issuer.sessions.logout(sid, auditOf(request))
      if (found?.transport === 'cookie') refreshCookie.clear(reply)
      return reply.code(204).header('cache-control', 'no-store').send(undefined)
    },
  )

  // Clears a cookie that can never work again, so that the browser stops sending it.
  app.addHook('onError', async (request, reply, error) => {
    if (request.headers.cookie === undefined || tokenInBody(request) !== undefined) return
    if (isGatepassError(error, 'cookie_duplicated', ...refreshTokenEndedCodes)) {
      refreshCookie.clear(reply)
    }
  })
}

/** A token in the body takes precedence, so its refusal does not concern the cookie. */
function tokenInBody(request: FastifyRequest): string | undefined {
  return (request.body as RefreshBody)?.refresh_token
}

async function sessionOfToken(
  request: FastifyRequest,
  { verifier, targetOf }: IssuerContext,
): Promise<string> {
  if (request.headers.authorization === undefined) throw new GatepassError('refresh_token_missing')
  const { token, dpop } = presentedToken(request.headers, () => targetOf(request))
  return ownSessionOf(await verifier.verify(token, { dpop }))
}
