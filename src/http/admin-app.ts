import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { isGatepassError } from '../core/errors.ts'
import { createApp } from './app.ts'
import type { Metrics } from './metrics.ts'

/** How long one readiness check may take. */
const checkTimeoutMs = 1_000

/** Something that must work for the service to be worth a request; rejects when it does not. */
export type ReadinessCheck = () => Promise<unknown>

export interface AdminDeps {
  readonly logger: FastifyBaseLogger
  readonly metrics: Metrics
  readonly checks: Readonly<Record<string, ReadinessCheck>>
  /** Whether the process is on its way out. */
  isDraining(): boolean
}

/** The port for the people (and machines) that run the service; never reachable from outside. */
export function buildAdminApp(deps: AdminDeps): FastifyInstance {
  const app = createApp(deps.logger)
  app.get('/livez', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const checks = Object.fromEntries(
      await Promise.all(
        Object.entries(deps.checks).map(async ([name, check]) => [name, await outcome(check)]),
      ),
    )
    if (deps.isDraining()) checks.process = 'shutting_down'
    const ready = Object.values(checks).every((result) => result === 'ok')
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ok' : 'unavailable', checks })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(deps.metrics.registry.contentType).send(await deps.metrics.registry.metrics()),
  )
  return app
}

/** `ok`, or the code of what is wrong. */
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
