import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Verifier } from '../verifier/verifier.ts'
import { collectRoutes, createApp, refuseOtherMethods } from './app.ts'
import type { Metrics } from './metrics.ts'
import { serveOpenApi } from './openapi.ts'
import { verifyRoutes } from './routes/verify.ts'

export interface VerifierAppDeps {
  readonly logger: FastifyBaseLogger
  readonly metrics: Metrics
  readonly version: string
  readonly verifier: Verifier
}

/** The verifier's HTTP service. Composition only: it starts nothing and reads no environment. */
export function buildVerifierApp(deps: VerifierAppDeps): FastifyInstance {
  const app = createApp(deps.logger)
  const routes = collectRoutes(app)
  deps.metrics.observe(app)
  serveOpenApi(app, {
    title: 'Gatepass verifier',
    description: 'Checks access tokens for services and reverse proxies.',
    version: deps.version,
  })
  app.register(async (scope) => verifyRoutes(scope, deps.verifier))
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  return app
}
