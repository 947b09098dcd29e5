import type { FastifyInstance } from 'fastify'
import { gatepassAuth } from '../verifier/fastify.ts'
import type { Verifier } from '../verifier/verifier.ts'
import {
  collectRoutes,
  createApp,
  refuseOtherMethods,
  type ServiceOptions,
  serveOpenApi,
} from './app.ts'
import { allowOriginsWithToken } from './cross-origin.ts'
import { throwRefusal } from './error-handler.ts'
import { type DataRoutesOptions, dataRoutes } from './routes/data.ts'
import { forwardedTarget, verifyRoutes, whoamiRoute } from './routes/verify.ts'

export interface VerifierAppOptions {
  readonly service: ServiceOptions
  readonly verifier: Verifier
  /** Public URL of the services behind the proxy. */
  readonly publicUrl?: string | undefined
  /** Origins of pages that may call `/whoami` and `/data` with a token. Default: none. */
  readonly allowedOrigins?: readonly string[]
  /** Session data; null if none is kept. */
  readonly data?: DataRoutesOptions | null
}

/** Builds the HTTP service of the verifier. It starts nothing and reads no environment. */
export function buildVerifierApp(options: VerifierAppOptions): FastifyInstance {
  const { service, verifier, publicUrl, allowedOrigins = [], data = null } = options
  const { trustedProxies = [] } = service
  const app = createApp(service)
  const routes = collectRoutes(app)
  service.metrics.observe(app)
  serveOpenApi(app, {
    title: 'Gatepass verifier',
    description: 'Checks access tokens for services and reverse proxies.',
    version: service.version,
  })
  const requestTarget = forwardedTarget({ trustedProxies, publicUrl })
  app.register(async (scope) => verifyRoutes(scope, verifier, requestTarget))
  // The routes that users' own pages and programs call, and no proxy.
  app.register(async (scope) => {
    await allowOriginsWithToken(scope, allowedOrigins)
    const userRoutes = collectRoutes(scope)
    // The guard has a scope of its own, because a preflight carries no token.
    await scope.register(async (guarded) => {
      await guarded.register(gatepassAuth, { verifier, requestTarget, onRefused: throwRefusal })
      whoamiRoute(guarded)
      if (data !== null) dataRoutes(guarded, data)
    })
    refuseOtherMethods(scope, userRoutes)
  })
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  return app
}
