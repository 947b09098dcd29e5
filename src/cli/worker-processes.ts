import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { Logger } from 'pino'
import { AggregatorRegistry } from 'prom-client'
import type { Settings } from '../config/settings.ts'
import { GatepassError } from '../core/errors.ts'
import type { Readiness } from '../http/admin-app.ts'
import { buildAdminApp } from '../http/admin-app.ts'
import { Draining } from '../http/draining.ts'
import { listen, type Report, type ReportRequest } from './serve.ts'
import { type ReadyMessage, startLife, stopMessage, tellReady } from './shutdown.ts'

/** A worker that dies is replaced, but not faster than this. */
const restartDelayMs = 1_000

/** Whether this process is to start workers, and not to be the service itself. */
export function isPrimaryOfMany(settings: Settings): boolean {
  return settings.workers > 1 && cluster.isPrimary
}

/**
 * Runs `GATEPASS_WORKERS` processes behind one port (`node:cluster`), and keeps that many alive. The
 * workers are replicas like any others: they share nothing but the stores.
 *
 * @throws `internal_error` when one of the first does not start; `port_in_use`
 */
export async function runWorkers(logger: Logger, settings: Settings): Promise<void> {
  const admin = buildAdminApp({
    logger,
    hosts: settings.admin_hosts,
    readiness: () => workersReadiness(life.isDraining()),
    metrics: workersMetrics,
  })
  // The workers drain and finish on their own; this process waits for them, and a moment longer.
  const patience = { drain_s: 0, shutdown_s: settings.drain_s + settings.shutdown_s + 1 }
  const adminRequests = new Draining(admin)
  const life = startLife(logger, patience, {
    drain: () => {},
    close: async () => {
      await Promise.all(liveWorkers().map(stop))
      await adminRequests.close()
    },
    open: () => ({ workers: liveWorkers().map(({ process }) => process.pid) }),
  })
  const ready = Array.from({ length: settings.workers }, () => untilReady(cluster.fork()))
  const [first] = await Promise.all(ready)
  const adminPort = await listen(admin, settings, 'admin_port')
  cluster.on('exit', (worker, code, signal) => {
    if (life.isDraining() || worker.exitedAfterDisconnect) return
    logger.error({ worker: worker.process.pid, code, signal }, 'a worker died; replacing it')
    setTimeout(() => life.isDraining() || cluster.fork(), restartDelayMs).unref()
  })
  tellReady(logger, settings, first?.port ?? settings.port, adminPort)
}

function untilReady(worker: Worker): Promise<ReadyMessage> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    // It has told the reason on standard error. Once it was ready, this says nothing any more.
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

async function stop(worker: Worker): Promise<void> {
  const exited = once(worker, 'exit')
  if (worker.isConnected()) worker.send(stopMessage)
  await exited
}

/** How long a worker may take; one that does not answer is not ready. */
const reportTimeoutMs = 2_000

let lastId = 0

/** In the primary: what each worker has to say, in the order of the workers; null for silence. */
function askWorkers(): Promise<(Report | null)[]> {
  return Promise.all(Object.values(cluster.workers ?? {}).map((worker) => ask(worker)))
}

function ask(worker: Worker | undefined): Promise<Report | null> {
  if (!worker?.isConnected()) return Promise.resolve(null)
  const id = ++lastId
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
    worker.send({ type: 'report?', id } satisfies ReportRequest)
  })
}

/** Ready while every worker is. Of a check that some workers fail, one outcome is shown. */
export async function workersReadiness(draining: boolean): Promise<Readiness> {
  const reports = await askWorkers()
  const checks: Record<string, string> = { workers: 'ok' }
  for (const report of reports) {
    if (report === null) checks.workers = 'timeout'
    for (const [name, result] of Object.entries(report?.readiness.checks ?? {})) {
      if ((checks[name] ?? 'ok') === 'ok') checks[name] = result
    }
  }
  if (reports.length === 0) checks.workers = 'internal_error'
  if (draining) checks.process = 'shutting_down'
  return { ready: Object.values(checks).every((result) => result === 'ok'), checks }
}

/** The metrics of all workers as one: sums, and where that makes no sense what prom-client says. */
export async function workersMetrics(): Promise<string> {
  const reports = await askWorkers()
  const metrics = reports.flatMap((report) => (report === null ? [] : [report.metrics]))
  return AggregatorRegistry.aggregate(metrics).metrics()
}
