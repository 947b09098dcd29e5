import cluster, { type Worker } from 'node:cluster'
import { AggregatorRegistry, type Registry } from 'prom-client'
import type { Readiness } from '../http/admin-app.ts'

/** How the primary learns what its workers have to say at the admin port. */

interface ReportRequest {
  readonly type: 'report?'
  readonly id: number
}

interface Report {
  readonly type: 'report'
  readonly id: number
  readonly readiness: Readiness
  readonly metrics: object[]
}

/** How long a worker may take; one that does not answer is not ready. */
const reportTimeoutMs = 2_000

/** In a worker: answers the primary. */
export function answerReports(readiness: () => Promise<Readiness>, registry: Registry): void {
  process.on('message', async (message: ReportRequest) => {
    if (message?.type !== 'report?') return
    const metrics = await registry.getMetricsAsJSON()
    const report: Report = { type: 'report', id: message.id, readiness: await readiness(), metrics }
    if (process.connected) process.send?.(report)
  })
}

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
