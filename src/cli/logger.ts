import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { Role } from '../config/setting.ts'
import type { Settings } from '../config/settings.ts'
import type { LogOutput } from './log-output.ts'

/** A logger of JSON lines. It logs how many lines the output has lost, once it takes lines again. */
export function createLogger(
  settings: Pick<Settings, 'log_level'>,
  service: Role,
  output: LogOutput,
): Logger {
  const logger = pino(
    {
      level: settings.log_level,
      base: { service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    output,
  )
  output.onGap((dropped) => logger.warn({ dropped }, 'log lines were dropped'))
  return logger
}
