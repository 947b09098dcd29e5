import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import type { Settings } from '../../config/settings.ts'
import { GatepassError } from '../../core/errors.ts'
import {
  createDataObserver,
  Metrics,
  observeLog,
  observeRevocations,
  observeVerifier,
} from '../../http/metrics.ts'
import { buildVerifierApp } from '../../http/verifier-app.ts'
import type { RevocationOptions } from '../../verifier/options.ts'
import { createVerifier, type Verifier } from '../../verifier/verifier.ts'
import { type CliContext, configOf, unusableSetting } from '../context.ts'
import { createDataService, openDataForService } from '../data-wiring.ts'
import { createLogger, LogOutput } from '../logger.ts'
import { serve, serviceOptions, verifierOptions } from '../serve.ts'
import { isPrimaryOfMany, runWorkerProcesses } from '../worker-processes.ts'

/** Interval of looking whether keys and revocations can be updated. */
const watchIntervalMs = 1_000

/** `gatepass verifier`: checks tokens for reverse proxies. */
export async function runVerifier(context: CliContext): Promise<void> {
  const { settings } = configOf(context, 'verifier')
  if (settings.jwks_file !== undefined) checkJwksFile(settings.jwks_file)
  const output = new LogOutput({ isShared: settings.workers > 1 })
  const logger = createLogger(settings, 'verifier', output)
  if (isPrimaryOfMany(settings)) return runWorkerProcesses(logger, settings)
  const metrics = new Metrics()
  observeLog(metrics.registry, () => output.dropped)
  const verifier = createVerifier({
    ...verifierOptions(settings, settings.encrypted_tokens ?? 'required'),
    audience: settings.audience,
    ...(settings.jwks_url !== undefined && { jwksUri: settings.jwks_url }),
    ...(settings.jwks_file !== undefined && { jwksFile: settings.jwks_file }),
    revocations: revocationsOf(settings),
  })
  observeVerifier(metrics.registry, () => verifier.status())
  const { revocations } = verifier.status()
  if (revocations !== null) {
    observeRevocations(metrics.registry, () => verifier.status().revocations ?? revocations)
  }
  // Without keys the verifier starts, answers 503, and keeps fetching.
  verifier.ready().then(
    () => {
      const { source, ageSeconds, lastError } = verifier.status().keys
      if (source === 'file') logger.warn({ ageSeconds, lastError }, 'using the keys in the file')
    },
    () => {}, // the watch logs the reason
  )
  const watch = logUpdateFailures(verifier, logger)

  const dataStore = await openDataForService(settings, context.cwd, logger)

  await serve(
    {
      app: buildVerifierApp({
        service: serviceOptions(settings, logger, metrics),
        verifier,
        publicUrl: settings.public_url,
        allowedOrigins: settings.allowed_origins,
        data: dataStore && {
          data: createDataService(settings, dataStore, createDataObserver(metrics.registry)),
          requiresPrecondition: settings.data_precondition === 'required',
        },
      }),
      metrics,
      logger,
      // Revocations and session data are not required: their state is in the metrics.
      checks: {
        keys: async () => {
          const { count, lastError } = verifier.status().keys
          if (count > 0) return
          const cause = lastError === null ? undefined : new Error(lastError)
          throw new GatepassError('keys_unavailable', { cause })
        },
      },
      close: async () => {
        clearInterval(watch)
        await Promise.all([verifier.close(), dataStore?.close()])
      },
    },
    settings,
  )
}

/** Logs why an update fails, once per reason. Metrics do not show the reason. */
function logUpdateFailures(verifier: Verifier, logger: Logger): NodeJS.Timeout {
  const reasons = new Map<string, string>()
  const note = (what: string, use: 'updated' | 'used', reason: string | null) => {
    if (reason === null) {
      if (reasons.delete(what)) logger.info(`${what} can be ${use} again`)
    } else if (reasons.get(what) !== reason) {
      reasons.set(what, reason)
      logger.warn({ reason }, `${what} cannot be ${use}; trying again`)
    }
  }
  const look = () => {
    const { keys, revocations } = verifier.status()
    note('keys', 'updated', keys.lastError)
    note('the file of keys', 'used', keys.fileError)
    note('revocations', 'updated', revocations?.state === 'down' ? revocations.lastError : null)
  }
  return setInterval(look, watchIntervalMs).unref()
}

/**
 * Refuses a file that can neither be read nor created. Otherwise the next outage of the issuer would
 * show it.
 * @throws `config_invalid`
 */
function checkJwksFile(path: string): void {
  const isFound = existsSync(path)
  const folder = dirname(path)
  try {
    if (isFound) accessSync(path, constants.R_OK)
    // With a slash, a file instead of the folder is an error.
    else accessSync(`${folder}/`, constants.W_OK)
  } catch (error) {
    const cause = error as NodeJS.ErrnoException
    const problem = isFound ? `${path} cannot be read` : `${folder} cannot be written`
    throw unusableSetting('jwks_file', `${problem} (${cause.code})`, cause)
  }
  // Docker creates a folder for a file that is mounted and missing.
  if (isFound && !statSync(path).isFile()) {
    throw unusableSetting('jwks_file', `${path} is not a file`)
  }
}

function revocationsOf(settings: Settings): RevocationOptions | false {
  const { revocations, revocations_url, revocations_poll_s, revocations_max_staleness_s } = settings
  if (revocations === 'off') return false
  return {
    stream: revocations === 'stream',
    pollIntervalSeconds: revocations_poll_s,
    ...(revocations_url !== undefined && { uri: revocations_url }),
    ...(revocations_max_staleness_s !== undefined && {
      maxStalenessSeconds: revocations_max_staleness_s,
    }),
  }
}
