import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { Role } from '../config/setting.ts'
import type { Settings } from '../config/settings.ts'
import { LogLines } from './log-lines.ts'

/** JSON lines on standard output. */
export function createLogger(settings: Pick<Settings, 'log_level'>, service: Role): Logger {
  return pino(
    {
      level: settings.log_level,
      base: { service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    new LogLines(),
  )
}
