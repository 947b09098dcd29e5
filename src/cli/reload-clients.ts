import type { Logger } from 'pino'
import { crossCheck } from '../config/checks.ts'
import type { Settings } from '../config/settings.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { Clients } from '../issuer/clients.ts'
import { type CliContext, configOf } from './context.ts'

/**
 * Reads the settings again and replaces the clients. Other settings keep their values from the
 * start. If the new settings are invalid, the clients stay unchanged too, and the log lists every
 * problem.
 */
export function reloadClients(
  context: CliContext,
  settings: Settings,
  clients: Clients,
  logger: Logger,
): void {
  try {
    const next = configOf(context, 'issuer').settings.clients
    // The new clients must fit the unchanged settings.
    const problems = crossCheck({ ...settings, clients: next }, 'issuer')
    if (problems.length > 0) throw new GatepassError('config_invalid', { problems })
    clients.replace(next)
    logger.info({ clients: next.map(({ client_id }) => client_id) }, 'clients were reloaded')
  } catch (error) {
    if (!isGatepassError(error, 'config_invalid')) throw error
    const { problems, message } = error
    logger.error({ problems, code: error.code, reason: message }, 'clients were not reloaded')
  }
}
