import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Logger } from 'pino'
import { AggregatorRegistry } from 'prom-client'
import type { Settings } from '../config/settings.ts'
import { GatepassError } from '../core/errors.ts'
import { buildAdminApp, type Readiness } from '../http/admin-app.ts'
import { Draining } from '../http/draining.ts'
import { listen, type Report, type ReportRequest } from './serve.ts'
import {
  installShutdown,
  type ReadyMessage,
  reloadMessage,
  reportReady,
  stopMessage,
} from './shutdown.ts'

/** Pause before a worker process that exited is replaced. */
const restartDelayMs = 1_000

/** Longest wait for a report. A worker process that does not answer is not ready. */
const reportTimeoutMs = 2_000

/** Whether this process starts worker processes instead of running the service itself. */
export function isPrimaryOfMany(settings: Settings): boolean {
  return settings.workers > 1 && cluster.isPrimary
}

/**
 * Runs `GATEPASS_WORKERS` processes behind one port (`node:cluster`) and replaces a process that
 * exits. The processes share nothing but the stores, like replicas on different machines.
 *
 * @param options `reloads`: on SIGHUP each worker process reads its settings again
 * @throws `internal_error` when one of the first processes does not start; `port_in_use`
 */
export async function runWorkerProcesses(
  logger: Logger,
  settings: Settings,
  { reloads = false } = {},
): Promise<void> {
  const admin = buildAdminApp({
    logger,
    hosts: settings.admin_hosts,
    readiness: () => workersReadiness(shutdown.isDraining()),
    metrics: workersMetrics,
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
    ...(reloads && { reload: () => liveWorkers().forEach(reloadWorker) }),
  })
  const ready = Array.from({ length: settings.workers }, () => untilReady(cluster.fork()))
  const [first] = await Promise.all(ready)
  const adminPort = await listen(admin, settings, 'admin_port')
  cluster.on('exit', (worker, code, signal) => {
    if (shutdown.isDraining() || worker.exitedAfterDisconnect) return
    logger.error({ worker: worker.process.pid, code, signal }, 'a worker exited; replacing it')
    setTimeout(() => shutdown.isDraining() || cluster.fork(), restartDelayMs).unref()
  })
  reportReady(logger, settings, first?.port ?? settings.port, adminPort)
}

function untilReady(worker: Worker): Promise<ReadyMessage> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    // The worker has printed the reason. After the ready message the rejection has no effect.
    worker.once('exit', () => {
      reject(new GatepassError('internal_error', { detail: 'A worker did not start.' }))
    })
  })
}

function liveWorkers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter(
    (one): one is Worker => one?.isDead() === false,
  )
}

function reloadWorker(worker: Worker): void {
  if (worker.isConnected()) worker.send(reloadMessage)
}

async function stopWorker(worker: Worker): Promise<void> {
  const exited = once(worker, 'exit')
  if (worker.isConnected()) worker.send(stopMessage)
  await exited
}

/**
 * Ready while every worker process is ready. If a check fails in several processes, one result is
 * shown.
 */
async function workersReadiness(isDraining: boolean): Promise<Readiness> {
  const reports = await requestReports()
  const checks: Record<string, string> = { workers: 'ok' }
  for (const report of reports) {
    if (report === null) checks.workers = 'timeout'
    for (const [name, result] of Object.entries(report?.readiness.checks ?? {})) {
      if ((checks[name] ?? 'ok') === 'ok') checks[name] = result
    }
  }
  if (reports.length === 0) checks.workers = 'internal_error'
  if (isDraining) checks.process = 'shutting_down'
  return { ready: Object.values(checks).every((result) => result === 'ok'), checks }
}

/** The metrics of all worker processes, aggregated by prom-client: sums, unless a metric says otherwise. */
async function workersMetrics(): Promise<string> {
  const reports = await requestReports()
  const metrics = reports.flatMap((report) => (report === null ? [] : [report.metrics]))
  return AggregatorRegistry.aggregate(metrics).metrics()
}

/** One report of each worker process; null for a process that does not answer in time. */
function requestReports(): Promise<(Report | null)[]> {
  return Promise.all(Object.values(cluster.workers ?? {}).map((worker) => requestReport(worker)))
}

function requestReport(worker: Worker | undefined): Promise<Report | null> {
  if (!worker?.isConnected()) return Promise.resolve(null)
  const id = randomUUID()
  return new Promise((resolve) => {
    const finish = (report: Report | null) => {
      clearTimeout(timer)
      worker.off('message', onMessage)
      resolve(report)
    }
    const onMessage = (message: Report) => {
      if (message?.type === 'report' && message.id === id) finish(message)
    }
    const timer = setTimeout(finish, reportTimeoutMs, null)
    worker.on('message', onMessage)
    worker.send({ type: 'report_request', id } satisfies ReportRequest)
  })
}
