import type { Logger } from 'pino'
import { dataUrl, type Settings } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { type DataObserver, DataService } from '../data/data-service.ts'
import type { DataStore } from '../stores/data-store.ts'
import { openDataStore, openResilientDataStore } from '../stores/open-data-store.ts'
import { openedBy } from './context.ts'

/**
 * Opens the store of session data for a command; null without session data.
 * @throws when the store is unavailable
 */
export async function openDataForCommand(
  settings: Settings,
  cwd: string,
): Promise<DataStore | null> {
  const url = dataUrl(settings)
  if (url === null) return null
  return openedBy('data_url', openDataStore(url, cwd, storeOptions(settings)))
}

/**
 * Opens the store of session data for a service; null without session data. The service starts while
 * the store is unavailable: login and verification do not need it.
 */
export async function openDataForService(
  settings: Settings,
  cwd: string,
  logger: Logger,
): Promise<DataStore | null> {
  const url = dataUrl(settings)
  if (url === null) return null
  const store = openResilientDataStore(url, cwd, {
    ...storeOptions(settings),
    clock: systemClock,
    onUnavailable: (err) =>
      logger.warn({ err }, 'the store of session data is unavailable; trying again'),
    onCleanupError: (err) =>
      logger.warn({ err }, 'expired session data could not be removed; trying again later'),
  })
  return openedBy('data_url', store)
}

export function createDataService(
  settings: Settings,
  store: DataStore,
  observer: DataObserver,
): DataService {
  const [first, ...others] = settings.data_secret
  if (first === undefined) {
    throw new GatepassError('config_invalid', {
      detail: 'Session data is encrypted. Set GATEPASS_DATA_SECRET to the secret of the verifiers.',
    })
  }
  return new DataService({
    store,
    secrets: [first, ...others],
    clock: systemClock,
    sessionMaxSeconds: settings.session_max_s,
    accessTtlSeconds: settings.access_ttl_s,
    userTtlSeconds: settings.data_user_ttl_s,
    observer,
  })
}

function storeOptions({ data_deadline_ms, data_replicas }: Settings) {
  return { deadlineMs: data_deadline_ms, replicas: data_replicas }
}
