import cookiePlugin from '@fastify/cookie'
import cors from '@fastify/cors'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import type { Audit } from '../issuer/audit.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { collectRoutes, createApp, refuseOtherMethods } from './app.ts'
import { auditTo } from './audit-log.ts'
import type { Metrics } from './metrics.ts'
import { serveOpenApi } from './openapi.ts'
import { OriginGuard } from './origin.ts'
import { DeviceCookie, RefreshCookie } from './refresh-cookie.ts'
import { type AccountDeps, accountRoutes } from './routes/account.ts'
import { type RevocationDeps, revocationRoutes } from './routes/revocations.ts'
import { type SignInDeps, signInRoutes } from './routes/sign-in.ts'
import { type WellKnownDeps, wellKnownRoutes } from './routes/well-known.ts'
import { shortcutJwks } from './shortcut.ts'

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
  /** Front ends on other origins. */
  readonly allowedOrigins: readonly string[]
  /** Proxies that are believed whom they forward for: addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[]
}

/** The issuer's public HTTP service. Composition only: it starts nothing and reads no environment. */
export function buildIssuerApp(options: IssuerAppDeps): FastifyInstance {
  const app = createApp(options.logger, options.trustedProxies)
  const routes = collectRoutes(app)
  const deps = {
    ...options,
    cookie: new RefreshCookie(options.cookieSecure),
    deviceCookie: new DeviceCookie(options.cookieSecure),
    origins: new OriginGuard([new URL(options.issuerUrl).origin, ...options.allowedOrigins]),
    auditOf: (request: FastifyRequest): Audit => auditTo(app.log, options.metrics, request.id),
  }
  options.metrics.observe(app)
  serveOpenApi(app, {
    title: 'Gatepass issuer',
    description: 'Signs users in and publishes the keys that verify their tokens.',
    version: options.version,
  })
  if (options.allowedOrigins.length > 0) {
    app.register(cors, {
      origin: [...options.allowedOrigins],
      credentials: true,
      methods: ['GET', 'POST', 'DELETE'],
      allowedHeaders: ['authorization', 'content-type', 'dpop', 'idempotency-key'],
      exposedHeaders: ['date', 'retry-after', 'www-authenticate'],
      maxAge: 600,
    })
  }
  app.register(async (scope) => wellKnownRoutes(scope, deps))
  app.register(async (scope) => revocationRoutes(scope, deps))
  app.register(async (scope) => {
    await scope.register(cookiePlugin)
    signInRoutes(scope, deps)
  })
  app.register(async (scope) => accountRoutes(scope, deps))
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  shortcutJwks(app, deps.jwks, options.metrics)
  return app
}
