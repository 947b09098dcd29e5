import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { createApp } from './app.ts'
import type { Readiness } from './readiness.ts'

export interface AdminDeps {
  readonly logger: FastifyBaseLogger
  readiness(): Promise<Readiness>
  /** In the text format of Prometheus. */
  metrics(): Promise<string>
}

/** The port for the people (and machines) that run the service; never reachable from outside. */
export function buildAdminApp(deps: AdminDeps): FastifyInstance {
  const app = createApp(deps.logger)
  app.get('/livez', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const { ready, checks } = await deps.readiness()
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ok' : 'unavailable', checks })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await deps.metrics()),
  )
  return app
}
