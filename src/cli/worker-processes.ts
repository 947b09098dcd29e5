import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { Logger } from 'pino'
import type { Settings } from '../config/settings.ts'
import { GatepassError } from '../core/errors.ts'
import { buildAdminApp, shuttingDown } from '../http/admin-app.ts'
import { Draining } from '../http/draining.ts'
import { listen } from './serve.ts'
import {
  installShutdown,
  type ReadyMessage,
  reloadMessage,
  reportReady,
  sendTo,
  stopMessage,
} from './shutdown.ts'
import {
  endReports,
  liveWorkers,
  receiveReport,
  WorkerMetrics,
  workersReadiness,
} from './worker-reports.ts'

/** Pause before a worker process that exited is replaced. */
const restartDelayMs = 1_000

/**
 * `node:cluster` drops a message to a process that does not listen yet. A process that got a SIGHUP during
 * its start (`reload_due`) reads its settings again when it is ready.
 */
type WorkerState = 'starting' | 'reload_due' | 'ready'

const states = new WeakMap<Worker, WorkerState>()

/** Whether this process starts worker processes instead of running the service itself. */
export function isPrimaryOfMany(settings: Settings): boolean {
  return settings.workers > 1 && cluster.isPrimary
}

/**
 * Runs `GATEPASS_WORKERS` processes behind one port (`node:cluster`) and replaces a process that
 * exits. The processes share nothing but the stores, like replicas on different machines. If one of the
 * first processes does not start, this process exits with the same code.
 *
 * @param options `reloads`: on SIGHUP each worker process reads its settings again
 * @throws `internal_error` if a signal ends one of the first processes; `port_in_use`
 */
export async function runWorkerProcesses(
  logger: Logger,
  settings: Settings,
  { reloads = false } = {},
): Promise<void> {
  const metrics = new WorkerMetrics()
  const admin = buildAdminApp({
    logger,
    hosts: settings.admin_hosts,
    readiness: async () =>
      shutdown.isDraining() ? shuttingDown : workersReadiness(readyWorkers(), logger),
    metrics: () => metrics.text(readyWorkers()),
  })
  // The worker processes drain and close themselves; this process waits one second longer.
  const limits = { drain_s: 0, shutdown_s: settings.drain_s + settings.shutdown_s + 1 }
  const adminRequests = new Draining(admin)
  const shutdown = installShutdown(logger, limits, {
    drain: () => {},
    close: async () => {
      await Promise.all(liveWorkers().map(stopWorker))
      await adminRequests.close()
    },
    unfinished: () => ({ workers: liveWorkers().map(({ process }) => process.pid) }),
    ...(reloads && {
      reload: () => {
        for (const worker of liveWorkers()) reloadWorker(worker)
      },
    }),
  })
  // After a second signal, a timeout or a failed start: a process that drains or hangs would stay.
  process.once('exit', () => {
    for (const worker of liveWorkers()) worker.process.kill('SIGKILL')
  })
  const ready = Array.from({ length: settings.workers }, () => untilReady(forkWorker()))
  const exited = Promise.withResolvers<never>()
  const failStart = (_worker: Worker, code: number, signal: string) => {
    if (shutdown.isDraining()) return
    // The worker has printed the reason.
    if (code > 0) process.exit(code)
    const detail = `A worker did not start: it ended by ${signal ?? code}.`
    exited.reject(new GatepassError('internal_error', { detail }))
  }
  cluster.once('exit', failStart)
  const [first] = await Promise.race([Promise.all(ready), exited.promise])
  cluster.off('exit', failStart)
  cluster.on('exit', (worker, code, signal) => {
    metrics.keep(worker)
    if (shutdown.isDraining()) return
    logger.error({ worker: worker.process.pid, code, signal }, 'a worker exited; replacing it')
    startLater()
  })
  const startLater = () => {
    const start = () => shutdown.isDraining() || startWorker(logger, startLater)
    setTimeout(start, restartDelayMs).unref()
  }
  const adminPort = await listen(admin, settings, 'admin_port')
  reportReady(logger, settings, first?.port ?? settings.port, adminPort)
}

function forkWorker(): Worker {
  const worker = cluster.fork()
  states.set(worker, 'starting')
  closeLostConnections(worker)
  worker.on('message', receiveReport)
  worker.once('exit', () => endReports(worker))
  worker.on('message', (message?: Partial<ReadyMessage>) => {
    if (message?.type !== 'ready') return
    if (states.get(worker) === 'reload_due') sendTo(worker.process, reloadMessage)
    states.set(worker, 'ready')
  })
  return worker
}

/** A message of `node:cluster`: a new connection for a worker process, or the answer to a message. */
interface ClusterMessage {
  readonly act?: string
  readonly seq?: number
  readonly ack?: number
}

interface Connection {
  close(): void
}

/**
 * Closes connections that a worker process got and did not take before it exited. `node:cluster` keeps
 * them open, so their clients would wait without an end.
 */
function closeLostConnections({ process: worker }: Worker): void {
  const sent = new Map<number | undefined, Connection>()
  const send = worker.send as (...args: unknown[]) => boolean
  worker.send = (...args: unknown[]) => {
    const [message, connection] = args as [ClusterMessage, Connection]
    if (message.act === 'newconn') sent.set(message.seq, connection)
    return send.apply(worker, args)
  }
  worker.on('internalMessage', ({ ack }: ClusterMessage) => sent.delete(ack))
  const close = () => {
    for (const connection of sent.values()) connection.close()
  }
  // The last answers of the process may not have been read yet.
  worker.once('exit', () => setTimeout(close, restartDelayMs).unref())
}

function untilReady(worker: Worker): Promise<ReadyMessage> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

/** @param onFailure called when the machine cannot start a process: it emits no exit */
function startWorker(logger: Logger, onFailure: () => void): void {
  const fail = (err: unknown) => {
    logger.error({ err }, 'a worker could not be started; trying again')
    onFailure()
  }
  try {
    const worker = forkWorker()
    worker.on('error', (err) => {
      if (worker.process.pid === undefined) fail(err)
    })
  } catch (err) {
    // Node emits some errors of a start, and throws others, such as ENOMEM.
    fail(err)
  }
}

function reloadWorker(worker: Worker): void {
  if (states.get(worker) === 'ready') sendTo(worker.process, reloadMessage)
  else states.set(worker, 'reload_due')
}

/** A process that replaces another takes no requests yet, and the other processes serve the port. */
function readyWorkers(): Worker[] {
  return liveWorkers().filter((worker) => states.get(worker) === 'ready')
}

async function stopWorker(worker: Worker): Promise<void> {
  const exited = once(worker, 'exit')
  if (states.get(worker) === 'ready') sendTo(worker.process, stopMessage)
  else worker.process.kill('SIGTERM')
  await exited
}
