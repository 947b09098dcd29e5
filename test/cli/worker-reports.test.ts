import type { Worker } from 'node:cluster'
import t from 'tap'
import { endReports, receiveReport, workersReadiness } from '../../src/cli/worker-reports.ts'
import { type Readiness, shuttingDown } from '../../src/http/admin-app.ts'

const ready = { ready: true, checks: { sessions: 'ok' } }

/** A worker process with this report, or one that exits when it is asked. */
function workerWith(report: Readiness | null): Worker {
  let isDead = false
  const send = ({ id }: { id: string }) => {
    if (report !== null) return receiveReport({ type: 'report', id, report })
    isDead = true
    endReports(worker)
  }
  const worker = { isDead: () => isDead, process: { connected: true, send } } as unknown as Worker
  return worker
}

for (const [what, report] of [
  ['exits while it is asked', null],
  ['shuts down', shuttingDown],
] as const) {
  t.test(`a worker that ${what} does not count`, async (t) => {
    const both = await workersReadiness([workerWith(ready), workerWith(report)])
    t.same(both, { ready: true, checks: { workers: 'ok', sessions: 'ok' } })
    const alone = await workersReadiness([workerWith(report)])
    t.same(alone, { ready: false, checks: { workers: 'internal_error' } })
  })
}
