import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { GatepassError } from '../core/errors.ts'
import { isForeignHost } from '../core/foreign-host.ts'
import { createApp } from './app.ts'
import type { Readiness } from './readiness.ts'

export interface AdminDeps {
  readonly logger: FastifyBaseLogger
  /** Host names besides those that `isForeignHost` accepts by itself. */
  readonly hosts: readonly string[]
  readiness(): Promise<Readiness>
  /** In the text format of Prometheus. */
  metrics(): Promise<string>
}

/** The port for the people (and machines) that run the service; never reachable from outside. */
export function buildAdminApp(deps: AdminDeps): FastifyInstance {
  const app = createApp(deps.logger)
  app.addHook('onRequest', async ({ headers }) => {
    if (!isForeignHost(headers.host, deps.hosts)) return
    const detail =
      'Ask the admin port by an IP address, by localhost, or by a name in GATEPASS_ADMIN_HOSTS.'
    throw new GatepassError('host_not_allowed', { detail })
  })
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
