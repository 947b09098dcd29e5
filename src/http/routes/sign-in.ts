import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import type { Audit } from '../../issuer/audit.ts'
import type { Issuer } from '../../issuer/issuer.ts'
import type { TokenSet } from '../../issuer/tokens.ts'
import { bearerToken } from '../../verifier/bearer.ts'
import type { Verifier } from '../../verifier/verifier.ts'
import type { OriginGuard } from '../origin.ts'
import type { DeviceCookie, RefreshCookie } from '../refresh-cookie.ts'
import {
  loginBody,
  noContent,
  problem,
  type RefreshBody,
  refreshBody,
  refreshHeaders,
  type TokenResponse,
  tokenResponse,
} from '../schemas.ts'

export interface SignInDeps {
  readonly issuer: Issuer
  readonly verifier: Verifier
  readonly cookie: RefreshCookie
  readonly deviceCookie: DeviceCookie
  readonly origins: OriginGuard
  auditOf(request: FastifyRequest): Audit
}

/** `/login`, `/refresh` and `/logout`: what a front end calls. */
export function signInRoutes(instance: FastifyInstance, deps: SignInDeps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { issuer, cookie, deviceCookie, origins, auditOf } = deps

  /** The refresh token of a request, by body or by cookie; a cookie only from an allowed origin. */
  function presented(request: FastifyRequest, body: RefreshBody) {
    if (body?.refresh_token !== undefined) return { token: body.refresh_token, by: 'body' } as const
    const token = cookie.read(request)
    if (token === undefined) return null
    origins.check(request)
    return { token, by: 'cookie' } as const
  }

  function answer(reply: FastifyReply, tokens: TokenSet, by: 'cookie' | 'body'): TokenResponse {
    reply.header('cache-control', 'no-store')
    if (by === 'cookie') cookie.set(reply, tokens.refreshToken, tokens.refreshExpiresIn_s)
    return {
      access_token: tokens.accessToken,
      token_type: 'Bearer',
      expires_in: tokens.expiresIn_s,
      scope: tokens.scope,
      session_id: tokens.sessionId,
      ...(by === 'body' && {
        refresh_token: tokens.refreshToken,
        refresh_token_expires_in: tokens.refreshExpiresIn_s,
      }),
    }
  }

  app.post(
    '/login',
    {
      schema: {
        summary: 'Sign in with a password',
        tags: ['sign-in'],
        body: loginBody,
        response: { 200: tokenResponse, default: problem },
      },
    },
    async (request, reply) => {
      origins.check(request)
      const { username, password, scope, client_id, refresh_token_in } = request.body
      const { deviceToken, ...tokens } = await issuer.login.signIn(
        {
          username,
          password,
          scope,
          clientId: client_id,
          userAgent: request.headers['user-agent'] ?? '',
          address: request.ip,
          deviceToken: deviceCookie.read(request),
        },
        auditOf(request),
      )
      const body = answer(reply, tokens, refresh_token_in)
      if (refresh_token_in === 'cookie') deviceCookie.remember(reply, deviceToken)
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
      const found = presented(request, request.body)
      if (found === null) throw new GatepassError('refresh_token_missing')
      const key = request.headers['idempotency-key']
      const tokens = await issuer.refresh.rotate(found.token, key, auditOf(request))
      return answer(reply, tokens, found.by)
    },
  )

  app.post(
    '/logout',
    {
      schema: {
        summary: 'End this session everywhere',
        tags: ['sign-in'],
        security: [{ cookie: [] }, { bearer: [] }, {}],
        body: refreshBody,
        response: { 204: noContent, default: problem },
      },
    },
    async (request, reply) => {
      const found = presented(request, request.body)
      const sid = found
        ? issuer.refreshTokens.parse(found.token).sid
        : await sessionOfBearer(request, deps.verifier)
      await issuer.sessions.logout(sid, auditOf(request))
      if (found?.by === 'cookie') cookie.clear(reply)
      return reply.code(204).header('cache-control', 'no-store').send(undefined)
    },
  )

  // A cookie that can never work again is taken back, so that the browser stops sending it.
  app.addHook('onError', async (request, reply, error) => {
    if (request.headers.cookie === undefined) return
    if (isGatepassError(error) && deadCookie.has(error.code)) cookie.clear(reply)
  })
}

const deadCookie: ReadonlySet<string> = new Set([
  'cookie_duplicated',
  'refresh_token_malformed',
  'refresh_token_unknown',
  'refresh_token_expired',
  'refresh_token_revoked',
  'refresh_token_reused',
])

async function sessionOfBearer(request: FastifyRequest, verifier: Verifier): Promise<string> {
  if (request.headers.authorization === undefined) throw new GatepassError('refresh_token_missing')
  const { sid } = await verifier.verify(bearerToken(request.headers.authorization))
  if (sid === undefined) throw new GatepassError('token_claims')
  return sid
}
