import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import type { RequestTarget } from '../verifier/dpop/target-uri.ts'
import { gatepassAuth } from '../verifier/fastify.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { collectRoutes, createApp, refuseOtherMethods } from './app.ts'
import { registerCrossOriginRoutes } from './cross-origin.ts'
import { forwardedTarget } from './forwarded-target.ts'
import type { Metrics } from './metrics.ts'
import { serveOpenApi } from './openapi.ts'
import { handOn } from './problem.ts'
import { type DataRoutesOptions, dataRoutes } from './routes/data.ts'
import { verifyRoutes, whoamiRoute } from './routes/verify.ts'

export interface VerifierAppDeps {
  readonly logger: FastifyBaseLogger
  readonly metrics: Metrics
  readonly version: string
  readonly verifier: Verifier
  /** Whether `token_claims` tells a client which claims are wrong. Default false. */
  readonly namesClaims?: boolean
  /** Proxies that are believed what they forward: addresses and CIDR ranges. */
  readonly trustedProxies?: readonly string[]
  /** The address that clients call the services behind the proxy by. */
  readonly publicUrl?: string | undefined
  /** Pages of these origins may call what is for people, with their token. */
  readonly allowedOrigins?: readonly string[]
  /** null where no session data is kept. */
  readonly data?: DataRoutesOptions | null
}

/** The verifier's HTTP service. Composition only: it starts nothing and reads no environment. */
export function buildVerifierApp(deps: VerifierAppDeps): FastifyInstance {
  const { trustedProxies = [], publicUrl } = deps
  const app = createApp(deps.logger, trustedProxies, deps.namesClaims)
  const routes = collectRoutes(app)
  deps.metrics.observe(app)
  serveOpenApi(app, {
    title: 'Gatepass verifier',
    description: 'Checks access tokens for services and reverse proxies.',
    version: deps.version,
  })
  const requestTarget = forwardedTarget({ trustedProxies, publicUrl })
  app.register(async (scope) => verifyRoutes(scope, deps.verifier, requestTarget))
  app.register((scope) =>
    registerCrossOriginRoutes(scope, deps.allowedOrigins ?? [], (pages) =>
      peopleRoutes(pages, deps, requestTarget),
    ),
  )
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  return app
}

/** What a person's own page or program calls, and no proxy. */
async function peopleRoutes(
  scope: FastifyInstance,
  { verifier, data = null }: VerifierAppDeps,
  requestTarget: (request: FastifyRequest) => RequestTarget,
): Promise<void> {
  await scope.register(gatepassAuth, { verifier, requestTarget, onRefused: handOn })
  whoamiRoute(scope)
  if (data !== null) dataRoutes(scope, data)
}
