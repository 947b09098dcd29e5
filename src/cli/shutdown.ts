import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import type { Settings } from '../config/settings.ts'

/** What a process tells the one that started it, once it takes requests. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly port: number
  readonly adminPort: number
}

/** What the one that started a process sends to end it: a signal may have come from the terminal. */
export const stopMessage = 'stop'

export interface Life {
  /** Whether the process is on its way out. */
  isDraining(): boolean
  /** Forgets about signals, after a start that failed. */
  uninstall(): void
}

/** The work that a process ends before it exits. */
export interface Work {
  /** Asks clients to leave, and goes on answering them. */
  drain(): void
  /** Ends what is in flight and gives back what is held. */
  close(): Promise<void>
  /** What keeps it from closing, for the log. */
  open(): object
}

/**
 * The end of a process: on SIGTERM, SIGINT, a message of its parent or the parent's death it drains,
 * closes and exits with 0 within a bounded time. A second signal ends it at once. After an error that
 * nobody caught it does not drain: it closes, and exits with 1.
 */
export function startLife(
  logger: Logger,
  settings: Pick<Settings, 'drain_s' | 'shutdown_s'>,
  work: Work,
): Life {
  let draining = false
  const onTimeout = () =>
    logger.error(work.open(), 'stopping took too long; exiting with work that has not ended')
  const stop = closeWithGrace(
    { delay: (settings.drain_s + settings.shutdown_s) * 1000, logger: false, onTimeout },
    async ({ err, signal }) => {
      if (err) logger.fatal({ err }, 'stopping after an error that nobody caught')
      else logger.info({ signal }, 'stopping')
      draining = true
      work.drain()
      if (!err) await sleep(settings.drain_s * 1000)
      await work.close()
      logger.info('stopped')
      await new Promise<void>((resolve) => logger.flush(() => resolve()))
    },
  )
  // Ctrl-C reaches parent and child alike: who is ending already is not told twice.
  const stopOnce = () => draining || stop.close()
  process.on('message', (message) => message === stopMessage && stopOnce())
  process.on('disconnect', stopOnce)
  return { isDraining: () => draining, uninstall: () => stop.uninstall() }
}

/** Says that the process takes requests: to the log, and to a parent that waits for it. */
export function tellReady(logger: Logger, settings: Settings, port: number, adminPort: number) {
  const since_ms = Math.round(performance.now())
  logger.info({ host: settings.host, port, adminPort, since_ms }, 'ready')
  process.send?.({ type: 'ready', port, adminPort } satisfies ReadyMessage)
}
