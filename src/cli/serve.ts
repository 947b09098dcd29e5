import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Settings } from '../config/settings.ts'
import { buildAdminApp, checkReadiness, type ReadinessCheck } from '../http/admin-app.ts'
import { Draining } from '../http/draining.ts'
import type { Metrics } from '../http/metrics.ts'
import { startLife, tellReady } from './life.ts'
import { listen } from './listen.ts'
import { answerReports } from './reports.ts'

export interface Service {
  readonly app: FastifyInstance
  readonly metrics: Metrics
  readonly logger: Logger
  readonly checks: Readonly<Record<string, ReadinessCheck>>
  /** Closes stores and timers, after the last request. */
  close(): Promise<void>
}

/**
 * Runs a service in this process until it is told to stop. As a worker it leaves the admin port to
 * the primary, and reports to it.
 *
 * @throws `port_in_use`
 */
export async function serve(service: Service, settings: Settings): Promise<void> {
  const { app, logger, metrics, checks } = service
  const readiness = () => checkReadiness(checks, life.isDraining())
  const admin = cluster.isWorker
    ? null
    : buildAdminApp({
        logger,
        hosts: settings.admin_hosts,
        readiness,
        metrics: () => metrics.registry.metrics(),
      })
  const requests = new Draining(app)
  const adminRequests = admin && new Draining(admin)
  const life = startLife(logger, settings, {
    drain: () => requests.start(),
    close: async () => {
      await requests.close()
      await service.close()
      await adminRequests?.close()
    },
    open: () => requests.open,
  })
  if (admin === null) answerReports(readiness, metrics.registry)

  try {
    const adminPort = admin === null ? 0 : await listen(admin, settings, 'admin_port')
    const port = await listen(app, settings, 'port')
    tellReady(logger, settings, port, adminPort)
  } catch (error) {
    life.uninstall()
    await Promise.allSettled([app.close(), admin?.close(), service.close()])
    throw error
  }
}
