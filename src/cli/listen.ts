import type { FastifyInstance } from 'fastify'
import { environmentName } from '../config/setting.ts'
import type { SettingName, Settings } from '../config/settings.ts'
import { GatepassError } from '../core/errors.ts'

/**
 * Listens on the port that a setting names, and returns it; a free one for 0.
 * @throws `port_in_use`
 */
export async function listen(
  app: FastifyInstance,
  settings: Settings,
  name: Extract<SettingName, 'port' | 'admin_port'>,
): Promise<number> {
  try {
    await app.listen({ host: settings.host, port: settings[name] })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new GatepassError('port_in_use', {
      detail: `Port ${settings[name]} is in use by another program. Stop it, or set ${environmentName(name)} to a free port.`,
      cause: error,
    })
  }
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : settings[name]
}
