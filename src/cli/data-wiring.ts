import type { Logger } from 'pino'
import type { Settings } from '../config/settings.ts'
import { dataUrl } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { DataService } from '../data/data-service.ts'
import type { DataObserver } from '../data/observed-store.ts'
import type { DataStore } from '../stores/data-store.ts'
import { openDataStore, openResilientDataStore } from '../stores/open-data-store.ts'

/** How settings become session data. Null everywhere: none is kept. */

/** The store for a command, which fails when it is not there. */
export async function openDataNow(settings: Settings, cwd: string): Promise<DataStore | null> {
  const url = dataUrl(settings)
  return url === null ? null : openDataStore(url, cwd, optionsOf(settings))
}

/** The store for a service. The service starts without it: login and verification do not need it. */
export async function openDataForService(
  settings: Settings,
  cwd: string,
  logger: Logger,
): Promise<DataStore | null> {
  const url = dataUrl(settings)
  if (url === null) return null
  return openResilientDataStore(url, cwd, {
    ...optionsOf(settings),
    clock: systemClock,
    onUnavailable: (err) =>
      logger.warn({ err }, 'the store of session data is unavailable; trying again'),
    onCleanupError: (err) =>
      logger.warn({ err }, 'expired session data could not be removed; trying again later'),
  })
}

export function dataService(
  settings: Settings,
  store: DataStore,
  observer?: DataObserver,
): DataService {
  const [first, ...others] = settings.data_secret
  if (first === undefined) {
    throw new GatepassError('config_invalid', {
      detail: 'Session data can be read with GATEPASS_DATA_SECRET only.',
    })
  }
  return new DataService({
    store,
    secrets: [first, ...others],
    clock: systemClock,
    sessionMaxSeconds: settings.session_max_s,
    accessTtlSeconds: settings.access_ttl_s,
    userTtlSeconds: settings.data_user_ttl_s,
    ...(observer && { observer }),
  })
}

function optionsOf({ data_deadline_ms, data_replicas }: Settings) {
  return { deadlineMs: data_deadline_ms, replicas: data_replicas }
}
