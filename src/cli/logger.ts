import { destination, type Logger, pino, stdTimeFunctions } from 'pino'
import type { Role } from '../config/setting.ts'
import type { Settings } from '../config/settings.ts'

/** JSON lines on standard output, written behind the requests rather than between them. */
export function createLogger(settings: Pick<Settings, 'log_level'>, service: Role): Logger {
  return pino(
    {
      level: settings.log_level,
      base: { service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    destination({ fd: 1, sync: false }),
  )
}
