import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { isForeignHost } from '../core/foreign-host.ts'
import { createApp } from './app.ts'

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

/** How long one check may take. */
const checkTimeoutMs = 1_000

/** Something that must work for the service to be worth a request; rejects when it does not. */
export type ReadinessCheck = () => Promise<unknown>

export interface Readiness {
  readonly ready: boolean
  /** For each check `ok`, or the code of what is wrong. */
  readonly checks: Readonly<Record<string, string>>
}

/** @param draining whether the process is on its way out */
export async function checkReadiness(
  checks: Readonly<Record<string, ReadinessCheck>>,
  draining: boolean,
): Promise<Readiness> {
  const results: Record<string, string> = Object.fromEntries(
    await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await outcome(check)]),
    ),
  )
  if (draining) results.process = 'shutting_down'
  return { ready: Object.values(results).every((result) => result === 'ok'), checks: results }
}

async function outcome(check: ReadinessCheck): Promise<string> {
  const { promise: late, resolve } = Promise.withResolvers<string>()
  const timer = setTimeout(resolve, checkTimeoutMs, 'timeout')
  try {
    return await Promise.race([check().then(() => 'ok'), late])
  } catch (error) {
    return isGatepassError(error) ? error.code : 'internal_error'
  } finally {
    clearTimeout(timer)
  }
}
