import cors from '@fastify/cors'
import { type DataStore, type GatepassDataOptions, gatepassData } from '@gatepass/session-data'
import type { Verifier } from '@gatepass/verifier'
import { gatepassAuth } from '@gatepass/verifier/fastify'
import Fastify, { type FastifyInstance } from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import { fields } from './data.ts'
import { ShopError, sendProblem } from './problems.ts'
import { cartRoutes, catalogueRoutes, orderRoutes, preferenceRoutes } from './routes.ts'

export interface ShopDeps
  extends Omit<GatepassDataOptions, 'store' | 'fields' | 'observer' | 'clock'> {
  /** Names the replica that responds. */
  readonly name: string
  /** Verifies tokens in memory. The caller closes it. */
  readonly verifier: Verifier
  /** The address of a store, which is closed with the app, or an open store. */
  readonly store: string | DataStore
  /** Pages of these origins may call the shop. */
  readonly allowedOrigins?: readonly string[]
  readonly logLevel?: string
}

/** A replica of the shop. Composition only: it listens nowhere and reads no environment. */
export function buildShop(deps: ShopDeps): FastifyInstance {
  const { name, verifier, allowedOrigins = [], logLevel = 'warn', ...data } = deps
  const app = Fastify({
    logger: { level: logLevel },
    // A child logger per request costs as much as the check of its token.
    childLoggerFactory: (parent) => parent,
    bodyLimit: 16 * 1024,
    requestTimeout: 10_000,
    // Longer than the idle time of common load balancers (60 s), so that they close first.
    keepAliveTimeout: 72_000,
    // A request that arrives while the shop closes is answered like any other.
    return503OnClosing: false,
    frameworkErrors: sendProblem,
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setErrorHandler(sendProblem)
  app.setNotFoundHandler(() => {
    throw new ShopError('route_not_found', 'There is nothing at this address.')
  })
  app.addHook('onRequest', (_request, reply, done) => {
    // No cache may give the cart of one user to another. The catalogue allows caching.
    reply.headers({ 'x-replica': name, 'cache-control': 'no-store' })
    done()
  })
  if (allowedOrigins.length > 0) allowPages(app, allowedOrigins)
  app.register(async (shop) => {
    await shop.register(gatepassAuth, { verifier })
    await shop.register(gatepassData, { ...data, fields })
    await catalogueRoutes(shop)
    await cartRoutes(shop)
    await orderRoutes(shop)
    await preferenceRoutes(shop)
  })
  app.register(async (health) => healthRoutes(health, verifier))
  return app
}

/** CORS without credentials: pages need a token, so no page can use another page's session. */
function allowPages(app: FastifyInstance, origins: readonly string[]): void {
  app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'dpop', 'idempotency-key'],
    exposedHeaders: ['retry-after', 'www-authenticate', 'x-replica'],
    maxAge: 600,
  })
}

/**
 * A replica is ready when it has keys. The store does not count: all replicas share it, and the
 * catalogue works without it.
 */
function healthRoutes(app: FastifyInstance, verifier: Verifier): void {
  app.get('/livez', () => ({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const hasKeys = verifier.status().keys.count > 0
    return reply.code(hasKeys ? 200 : 503).send({ keys: hasKeys ? 'ok' : 'keys_unavailable' })
  })
}
