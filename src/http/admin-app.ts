import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { asGatepassError, GatepassError } from '../core/errors.ts'
import { isForeignHost } from '../core/networks.ts'
import { waitAtMost } from '../core/promise.ts'
import { collectRoutes, createApp, refuseOtherMethods } from './app.ts'

export interface AdminAppOptions {
  readonly logger: FastifyBaseLogger
  /** Accepted host names, besides those that `isForeignHost` accepts. */
  readonly hosts: readonly string[]
  readiness(): Promise<Readiness>
  /** Returns the metrics in the text format of Prometheus. */
  metrics(): Promise<string>
}

/** Builds the app of the admin port, which is not reachable from outside. */
export function buildAdminApp(options: AdminAppOptions): FastifyInstance {
  const app = createApp({ logger: options.logger })
  app.addHook('onRequest', async ({ headers }) => {
    if (!isForeignHost(headers.host, options.hosts)) return
    const detail =
      'Ask the admin port by an IP address, by localhost, or by a name in GATEPASS_ADMIN_HOSTS.'
    throw new GatepassError('host_not_allowed', { detail })
  })
  const routes = collectRoutes(app)
  app.get('/livez', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const { ready, checks } = await options.readiness()
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ok' : 'unavailable', checks })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await options.metrics()),
  )
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  return app
}

const checkTimeoutMs = 1_000

/** A dependency that the service needs. It rejects if the dependency does not work. */
export type ReadinessCheck = () => Promise<unknown>

export interface Readiness {
  readonly ready: boolean
  /** For each check `ok`, or an error code. */
  readonly checks: Readonly<Record<string, string>>
}

/** The state of a process that shuts down. No check runs, because its stores may be closed. */
export const shuttingDown: Readiness = { ready: false, checks: { process: 'shutting_down' } }

export async function checkReadiness(
  checks: Readonly<Record<string, ReadinessCheck>>,
): Promise<Readiness> {
  const results: Record<string, string> = Object.fromEntries(
    await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await outcome(check)]),
    ),
  )
  return { ready: Object.values(results).every((result) => result === 'ok'), checks: results }
}

async function outcome(check: ReadinessCheck): Promise<string> {
  try {
    const checked = check().then(() => 'ok')
    return (await waitAtMost(checked, checkTimeoutMs)) ?? 'timeout'
  } catch (error) {
    return asGatepassError(error).code
  }
}
