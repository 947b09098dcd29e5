import type { ChildProcess, Serializable } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import type { Settings } from '../config/settings.ts'

/** The message of a service process to its parent when the service takes requests. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly port: number
  readonly adminPort: number
}

/** The message of a parent that asks a process to shut down. */
export const stopMessage = 'stop'

/** The message of a parent that asks a process to read its settings again. */
export const reloadMessage = 'reload'

/** Sends a message to a child process. Does nothing if the process has exited, or exits meanwhile. */
export function sendTo(child: ChildProcess, message: Serializable): void {
  if (child.connected) child.send(message, () => {})
}

/**
 * The signals of a fault in native code. A handler returns to the faulty instruction, so the process
 * would hang instead of exiting.
 */
const faultSignals = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV'] as const

let isReloadDue = false
const holdReload = () => {
  isReloadDue = true
}

const stopSignals = ['SIGTERM', 'SIGINT'] as const

type StopSignal = (typeof stopSignals)[number]

const exitEarly = () => process.exit()

/**
 * Handles signals until `installShutdown`: SIGTERM and SIGINT end a process that is still starting. The
 * first process of a container would ignore them, and its container could not be stopped.
 *
 * @param options `reloads`: SIGHUP waits. Otherwise it ends the process
 */
export function handleEarlySignals({ reloads }: { readonly reloads: boolean }): void {
  for (const signal of stopSignals) process.on(signal, exitEarly)
  if (reloads && !process.stdin.isTTY) process.on('SIGHUP', holdReload)
}

/** A terminal or systemd signals npm and this process, and npm passes its own signal on. */
const sameSignalMs = 500

/** Calls the listener at each SIGTERM and SIGINT, once for a signal that npm repeats. @returns its removal */
export function onStopSignal(listener: (signal: StopSignal) => void): () => void {
  const removals = stopSignals.map((signal) => {
    let lastMs = Number.NEGATIVE_INFINITY
    const onSignal = () => {
      const nowMs = performance.now()
      if (nowMs - lastMs < sameSignalMs) return
      lastMs = nowMs
      listener(signal)
    }
    process.on(signal, onSignal)
    return () => process.off(signal, onSignal)
  })
  return () => {
    for (const remove of removals) remove()
  }
}

export interface ShutdownSteps {
  /** Asks clients to leave. The process still answers requests. */
  drain(): void
  /** Finishes requests in progress and closes resources. */
  close(): Promise<void>
  /** Requests and connections that are still open, for the log. */
  unfinished(): object
  /** Reads the settings again. Without it, SIGHUP stops the process. */
  readonly reload?: (() => void) | undefined
}

/**
 * Installs a graceful shutdown: on SIGTERM, SIGINT, or the end of the parent, the process drains, closes and
 * exits with 0 within `drain_s + shutdown_s`. A second signal exits at once; an uncaught error, with 1.
 * SIGHUP reloads, except at a terminal, where it stops the process.
 */
export function installShutdown(
  logger: Logger,
  settings: Pick<Settings, 'drain_s' | 'shutdown_s'>,
  steps: ShutdownSteps,
) {
  let draining = false
  const { reload } = steps
  const reloadSignals = reload === undefined || process.stdin.isTTY ? [] : (['SIGHUP'] as const)
  const skip = [...faultSignals, ...reloadSignals, ...stopSignals]
  let received: StopSignal | undefined
  const onTimeout = () =>
    logger.error(steps.unfinished(), 'the shutdown timed out; exiting with unfinished work')
  const stop = closeWithGrace(
    { delay: (settings.drain_s + settings.shutdown_s) * 1000, logger, onTimeout, skip },
    async ({ err, signal }) => {
      if (err) logger.fatal({ err }, 'stopping after an uncaught error')
      else logger.info({ signal: received ?? signal }, 'stopping')
      draining = true
      steps.drain()
      if (!err) await sleep(settings.drain_s * 1000)
      await steps.close()
      logger.info('stopped')
      await new Promise<void>((resolve) => logger.flush(() => resolve()))
    },
  )
  // Ctrl-C and systemd signal parent and child, and a second request to stop would exit at once.
  const stopOnce = () => draining || stop.close()
  const ignoreSignals = onStopSignal((signal) => {
    if (draining) {
      logger.error(`second ${signal}, exiting`)
      process.exit(1)
    }
    received = signal
    stop.close()
  })
  const stopByParent = () => {
    if (draining) return
    stop.close()
    // The signal to this process may come after the message. The parent kills at a second signal.
    for (const signal of [...stopSignals, 'SIGHUP'] as const) {
      process.removeAllListeners(signal).on(signal, () => {})
    }
  }
  for (const signal of stopSignals) process.off(signal, exitEarly)
  for (const signal of reloadSignals) process.on(signal, () => reload?.())
  process.off('SIGHUP', holdReload)
  if (isReloadDue) reload?.()
  process.on('message', (message) => {
    if (message === stopMessage) stopByParent()
    if (message === reloadMessage) reload?.()
  })
  process.on('disconnect', stopOnce)
  return {
    isDraining: () => draining,
    /** Removes the signal handlers after a failed start. */
    uninstall() {
      stop.uninstall()
      ignoreSignals()
    },
  }
}

/** Reports to the log and to the parent process that the service takes requests. */
export function reportReady(logger: Logger, settings: Settings, port: number, adminPort: number) {
  const since_ms = Math.round(performance.now())
  logger.info({ host: settings.host, port, adminPort, since_ms }, 'ready')
  process.send?.({ type: 'ready', port, adminPort } satisfies ReadyMessage)
}
