import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import {
  AggregatorRegistry,
  type MetricObjectWithValues,
  type MetricValue,
  type Registry,
} from 'prom-client'
import type { Readiness } from '../http/admin-app.ts'
import { sendTo } from './shutdown.ts'

type Metric = MetricObjectWithValues<MetricValue<string>>

/** A request of the primary process to a worker process. */
interface ReportRequest {
  readonly type: 'report_request'
  readonly id: string
  readonly subject: keyof Reports
}

interface Reports {
  readonly readiness: Readiness
  readonly metrics: Metric[]
}

interface ReportMessage {
  readonly type: 'report'
  readonly id: string
  readonly report: Reports[keyof Reports]
}

/** Longest wait for a report. A worker process that does not answer is not ready. */
const reportTimeoutMs = 2_000

/** Answers the requests of the primary process for reports. */
export function answerReportRequests(
  readiness: () => Promise<Readiness>,
  registry: Registry,
): void {
  const reports = { readiness, metrics: () => registry.getMetricsAsJSON() }
  process.on('message', async (message: ReportRequest) => {
    if (message?.type !== 'report_request') return
    const { id, subject } = message
    const answer = { type: 'report', id, report: await reports[subject]() } satisfies ReportMessage
    if (process.connected) process.send?.(answer, undefined, undefined, () => {})
  })
}

/** The worker processes that have not exited. */
export function liveWorkers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter(
    (one): one is Worker => one?.isDead() === false,
  )
}

type ReportLogger = Pick<Logger, 'info' | 'warn'>

/**
 * Ready while each of these worker processes is ready, and there is one. A process that exits or shuts
 * down does not count: the other processes serve the port. If a check fails in several processes, one
 * result is shown. A process that does not respond is logged.
 */
export async function workersReadiness(
  workers: readonly Worker[],
  logger: ReportLogger,
): Promise<Readiness> {
  const asked = workers.map(async (worker) => {
    const report = await requestReport(worker, 'readiness')
    return { worker, report }
  })
  const reports = (await Promise.all(asked)).filter(
    ({ worker, report }) => !worker.isDead() && report?.checks.process !== 'shutting_down',
  )
  const checks: Record<string, string> = { workers: 'ok' }
  for (const { worker, report } of reports) {
    logSilence(worker, report === null, logger)
    if (report === null) checks.workers = 'timeout'
    for (const [name, result] of Object.entries(report?.checks ?? {})) {
      if ((checks[name] ?? 'ok') === 'ok') checks[name] = result
    }
  }
  if (reports.length === 0) checks.workers = 'internal_error'
  return { ready: Object.values(checks).every((result) => result === 'ok'), checks }
}

/** The worker processes that did not respond to the last request for their readiness. */
const silentWorkers = new WeakSet<Worker>()

/** Logs once that a worker process does not respond, and that it responds again. */
function logSilence(worker: Worker, isSilent: boolean, logger: ReportLogger): void {
  const line = { worker: worker.process.pid }
  if (isSilent === silentWorkers.has(worker)) return
  if (isSilent) {
    silentWorkers.add(worker)
    logger.warn(line, 'a worker does not respond')
  } else {
    silentWorkers.delete(worker)
    logger.info(line, 'a worker responds again')
  }
}

/**
 * The metrics of all worker processes, aggregated by prom-client: sums, unless a metric says otherwise.
 *
 * Prometheus takes a sum that falls for a restart, and counts the rest of it again. So a slow worker
 * counts with its last report, and the counters of a worker that exited stay.
 */
export class WorkerMetrics {
  /** The last report of each worker process, by its id. */
  readonly #last = new Map<number, Metric[]>()
  /** The counters and histograms of the worker processes that exited. */
  #exited: Metric[] = []

  /** Returns the metrics in the text format of Prometheus, with new reports of these processes. */
  async text(workers: readonly Worker[]): Promise<string> {
    await Promise.all(workers.map((worker) => this.#update(worker)))
    return AggregatorRegistry.aggregate([this.#exited, ...this.#last.values()]).metrics()
  }

  /** Keeps the counters of a worker process that exited. */
  keep({ id }: Worker): void {
    const last = this.#last.get(id) ?? []
    this.#last.delete(id)
    const counted = last.filter(({ type }) => String(type) !== 'gauge')
    const sum = AggregatorRegistry.aggregate([this.#exited, counted])
    // Metrics of an aggregated registry have their values.
    this.#exited = sum.getMetricsAsArray() as Metric[]
  }

  async #update(worker: Worker): Promise<void> {
    const report = await requestReport(worker, 'metrics')
    if (report !== null && !worker.isDead()) this.#last.set(worker.id, report)
  }
}

interface Receiver {
  readonly worker: Worker
  readonly resolve: (report: Reports[keyof Reports] | null) => void
}

/** Receivers of the reports that have not arrived, by the id of the request. */
const receivers = new Map<string, Receiver>()

/** Receives the messages of the worker processes. Ignores those that are no report. */
export function receiveReport(message: ReportMessage): void {
  if (message?.type === 'report') receivers.get(message.id)?.resolve(message.report)
}

/** Ends the waiting for the reports of a worker process that exited. */
export function endReports(worker: Worker): void {
  for (const receiver of receivers.values()) {
    if (receiver.worker === worker) receiver.resolve(null)
  }
}

/** Returns the report of a worker process; null if the process exits, or does not answer in time. */
async function requestReport<S extends keyof Reports>(
  worker: Worker,
  subject: S,
): Promise<Reports[S] | null> {
  const id = randomUUID()
  const { promise, resolve } = Promise.withResolvers<Reports[keyof Reports] | null>()
  const timer = setTimeout(resolve, reportTimeoutMs, null)
  receivers.set(id, { worker, resolve })
  sendTo(worker.process, { type: 'report_request', id, subject } satisfies ReportRequest)
  const report = await promise
  clearTimeout(timer)
  receivers.delete(id)
  return report as Reports[S] | null
}
