import cookiePlugin from '@fastify/cookie'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import type { Audit } from '../issuer/audit.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { collectRoutes, createApp, refuseOtherMethods } from './app.ts'
import { auditTo } from './audit-log.ts'
import { DeviceCookie, RefreshCookie } from './cookies.ts'
import { allowOrigins, answerRefusedPreflights, OriginGuard } from './cross-origin.ts'
import type { Metrics } from './metrics.ts'
import { serveOpenApi } from './openapi.ts'
import { type AccountDeps, accountRoutes } from './routes/account.ts'
import { type RevocationDeps, revocationRoutes } from './routes/revocations.ts'
import { loginUrl, type SignInDeps, signInRoutes } from './routes/sign-in.ts'
import { type WellKnownDeps, wellKnownRoutes } from './routes/well-known.ts'

export interface IssuerAppDeps
  extends Omit<SignInDeps, 'cookie' | 'deviceCookie' | 'origins' | 'auditOf'>,
    Omit<AccountDeps, 'auditOf'>,
    WellKnownDeps,
    RevocationDeps {
  readonly logger: FastifyBaseLogger
  readonly metrics: Metrics
  readonly version: string
  readonly issuer: Issuer
  readonly cookieSecure: boolean
  /** What the names of cookies end with; nothing by default. */
  readonly cookieSuffix?: string
  /** Whether `token_claims` tells a client which claims are wrong. Default false. */
  readonly namesClaims?: boolean
  /** Front ends on other origins. */
  readonly allowedOrigins: readonly string[]
  /** Proxies that are believed whom they forward for: addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[]
  /** Told of each audit event of a request, besides the log. */
  readonly onAudit?: Audit
  /** Adds what else is served at this address. */
  readonly extra?: (scope: FastifyInstance) => Promise<void>
}

/** The issuer's public HTTP service. Composition only: it starts nothing and reads no environment. */
export function buildIssuerApp(options: IssuerAppDeps): FastifyInstance {
  const app = createApp(options.logger, options.trustedProxies, options.namesClaims)
  const routes = collectRoutes(app)
  const deps = {
    ...options,
    cookie: new RefreshCookie(options.cookieSecure, options.cookieSuffix),
    deviceCookie: new DeviceCookie(options.cookieSecure, options.cookieSuffix),
    origins: new OriginGuard([new URL(options.issuerUrl).origin, ...options.allowedOrigins]),
    auditOf: (request: FastifyRequest) => auditOf(app, options, request.id),
  }
  options.metrics.observe(app)
  serveOpenApi(app, {
    title: 'Gatepass issuer',
    description: 'Signs users in and publishes the keys that verify their tokens.',
    version: options.version,
    cookieName: deps.cookie.name,
  })
  answerRefusedPreflights(app, loginUrl, deps.origins)
  allowOrigins(app, options.allowedOrigins)
  app.register(async (scope) => wellKnownRoutes(scope, deps))
  app.register(async (scope) => revocationRoutes(scope, deps))
  app.register(async (scope) => {
    await scope.register(cookiePlugin, { hook: false })
    signInRoutes(scope, deps)
  })
  app.register(async (scope) => accountRoutes(scope, deps))
  if (options.extra) app.register(options.extra)
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  return app
}

function auditOf(app: FastifyInstance, options: IssuerAppDeps, requestId: string): Audit {
  const { metrics, onAudit } = options
  const log = auditTo(app.log, metrics, requestId)
  if (onAudit === undefined) return log
  return (event, fields) => {
    log(event, fields)
    onAudit(event, fields)
  }
}
