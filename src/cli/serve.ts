import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { environmentName } from '../config/setting.ts'
import type { SettingName, Settings } from '../config/settings.ts'
import { GatepassError } from '../core/errors.ts'
import { buildAdminApp, type ReadinessCheck } from '../http/admin-app.ts'
import type { Metrics } from '../http/metrics.ts'

export interface Service {
  readonly app: FastifyInstance
  readonly metrics: Metrics
  readonly logger: Logger
  readonly checks: Readonly<Record<string, ReadinessCheck>>
  /** Closes stores and timers, after the last request. */
  close(): Promise<void>
}

/** What a process tells the one that started it, once it takes requests. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly port: number
  readonly adminPort: number
}

/**
 * The life of a service process: listen, say so, and on a signal drain, finish, close and exit.
 * @throws `port_in_use`
 */
export async function serve(service: Service, settings: Settings): Promise<void> {
  const { app, logger } = service
  let draining = false
  const admin = buildAdminApp({ ...service, isDraining: () => draining })

  const stop = closeWithGrace(
    { delay: (settings.drain_s + settings.shutdown_s) * 1000, logger: false },
    async ({ err, signal }) => {
      if (err) logger.fatal({ err }, 'stopping after an error that nobody caught')
      else logger.info({ signal }, 'stopping')
      draining = true
      await sleep(settings.drain_s * 1000)
      await app.close()
      await service.close()
      await admin.close()
      logger.info('stopped')
      await flush(logger)
    },
  )
  // A parent that started us by `gatepass dev` asks by message, and takes us along when it dies.
  process.on('message', (message) => message === 'stop' && stop.close())
  process.on('disconnect', () => stop.close())

  try {
    await listen(admin, settings, 'admin_port')
    await listen(app, settings, 'port')
  } catch (error) {
    stop.uninstall()
    await Promise.allSettled([app.close(), admin.close(), service.close()])
    throw error
  }
  const ports = { port: portOf(app), adminPort: portOf(admin) }
  const since_ms = Math.round(performance.now())
  logger.info({ host: settings.host, ...ports, since_ms }, 'ready')
  process.send?.({ type: 'ready', ...ports } satisfies ReadyMessage)
}

async function listen(
  app: FastifyInstance,
  settings: Settings,
  name: Extract<SettingName, 'port' | 'admin_port'>,
): Promise<void> {
  try {
    await app.listen({ host: settings.host, port: settings[name] })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new GatepassError('port_in_use', {
      detail: `Port ${settings[name]} is in use by another program. Stop it, or set ${environmentName(name)} to a free port.`,
      cause: error,
    })
  }
}

function portOf(app: FastifyInstance): number {
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function flush(logger: Logger): Promise<void> {
  return new Promise((resolve) => logger.flush(() => resolve()))
}
