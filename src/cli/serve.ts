import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { environmentName, type Settings } from '../config/settings.ts'
import { messagesOf } from '../core/error-text.ts'
import { errorCodes, GatepassError } from '../core/errors.ts'
import {
  buildAdminApp,
  checkReadiness,
  type ReadinessCheck,
  shuttingDown,
} from '../http/admin-app.ts'
import type { ServiceOptions } from '../http/app.ts'
import { Draining } from '../http/draining.ts'
import type { Metrics } from '../http/metrics.ts'
import { accessTokenType, type TokenType } from '../tokens/access-token.ts'
import { packageVersion, unusableSetting } from './context.ts'
import { installShutdown, reportReady } from './shutdown.ts'
import { answerReportRequests } from './worker-reports.ts'

export interface Service {
  readonly app: FastifyInstance
  readonly metrics: Metrics
  readonly logger: Logger
  readonly checks: Readonly<Record<string, ReadinessCheck>>
  /** Reads the settings that can change while the service runs. */
  readonly reload?: () => void
  /** Closes stores and timers, after the last request. */
  close(): Promise<void>
}

/** Returns the options that the issuer and the verifier service share. */
export function serviceOptions(
  settings: Settings,
  logger: Logger,
  metrics: Metrics,
): ServiceOptions {
  return {
    logger,
    metrics,
    version: packageVersion(),
    trustedProxies: settings.trusted_proxies,
    namesClaims: settings.mode === 'development',
  }
}

/** Returns the options that the verifiers of the issuer and of the verifier service share. */
export function verifierOptions(settings: Settings, encryptedTokens: 'required' | 'optional') {
  const { issuer, clock_skew_s, token_type, decryption_keys } = settings
  return {
    issuer,
    clockToleranceSeconds: clock_skew_s,
    // Tokens that were signed before a change of the setting are accepted.
    tokenTypes: [...new Set<TokenType>([accessTokenType, token_type])],
    ...(decryption_keys.length > 0 && { decryptionKeys: decryption_keys, encryptedTokens }),
  }
}

/**
 * Runs a service in this process until it shuts down. A worker process leaves the admin port to the
 * primary process and sends reports to it.
 * @throws `port_in_use`
 */
export async function serve(service: Service, settings: Settings): Promise<void> {
  const { app, logger, metrics, checks } = service
  const logged = logFailures(checks, logger)
  const readiness = async () => (shutdown.isDraining() ? shuttingDown : checkReadiness(logged))
  const admin = cluster.isWorker
    ? null
    : buildAdminApp({
        logger,
        hosts: settings.admin_hosts,
        readiness,
        metrics: () => metrics.registry.metrics(),
      })
  const requests = new Draining(app, (reply) => metrics.addUnanswered(reply))
  const adminRequests = admin && new Draining(admin)
  const shutdown = installShutdown(logger, settings, {
    drain: () => requests.start(),
    close: async () => {
      await requests.close()
      await service.close()
      await adminRequests?.close()
    },
    unfinished: () => requests.open,
    reload: service.reload,
  })
  if (admin === null) answerReportRequests(readiness, metrics.registry)

  try {
    const port = await listen(app, settings, 'port')
    // The last, because its readiness means that the port takes requests.
    const adminPort = admin === null ? 0 : await listen(admin, settings, 'admin_port')
    reportReady(logger, settings, port, adminPort)
  } catch (error) {
    shutdown.uninstall()
    await Promise.allSettled([app.close(), admin?.close(), service.close()])
    throw error
  }
}

/**
 * Logs why a readiness check fails, and that it passes again: a balancer sends no requests to a service that
 * is not ready, so no request would log the cause. Each reason is logged once until the check passes.
 */
export function logFailures(
  checks: Readonly<Record<string, ReadinessCheck>>,
  logger: Pick<Logger, 'info' | 'warn'>,
): Readonly<Record<string, ReadinessCheck>> {
  const reasons = new Map<string, Set<string>>()
  const logged = (name: string, check: ReadinessCheck) => async () => {
    try {
      await check()
      if (reasons.delete(name)) logger.info({ check: name }, 'a readiness check passes again')
    } catch (error) {
      const { message, cause, code } = error as GatepassError
      // Without a cause the code says all: the first keys of a verifier have not arrived.
      const isKnown = message === errorCodes[code]?.title && cause === undefined
      const loggedReasons = reasons.get(name) ?? new Set()
      const reason = messagesOf(error as Error)
      if (!isKnown && !loggedReasons.has(reason)) {
        reasons.set(name, loggedReasons.add(reason))
        logger.warn({ check: name, code, err: cause ?? error }, 'a readiness check fails')
      }
      throw error
    }
  }
  return Object.fromEntries(
    Object.entries(checks).map(([name, check]) => [name, logged(name, check)]),
  )
}

/**
 * Listens on the port in a setting; 0 means a free port.
 * @returns the port
 * @throws `port_in_use`, `config_invalid`
 */
export async function listen(
  app: FastifyInstance,
  settings: Settings,
  name: 'port' | 'admin_port',
): Promise<number> {
  try {
    await app.listen({ host: settings.host, port: settings[name] })
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, settings, name)
  }
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : settings[name]
}

/** Names the setting that is wrong. An error without such a setting is returned unchanged. */
function listenError(
  error: NodeJS.ErrnoException,
  settings: Settings,
  name: 'port' | 'admin_port',
): Error {
  const { code = '' } = error
  const port = settings[name]
  if (code === 'EADDRINUSE') {
    const detail = `Port ${port} is in use by another program. Stop it, or set ${environmentName(name)} to a free port.`
    return new GatepassError('port_in_use', { detail, cause: error })
  }
  if (code === 'EACCES') {
    const detail = `${port} needs a privilege that this user lacks: choose a port above 1023`
    return unusableSetting(name, detail, error)
  }
  if (/^(EADDRNOTAVAIL$|EINVAL$|ENOTFOUND|EAI_)/.test(code)) {
    return unusableSetting('host', `${settings.host} is not an address of this machine`, error)
  }
  return error
}
