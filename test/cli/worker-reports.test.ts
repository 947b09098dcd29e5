import type { Worker } from 'node:cluster'
import { mock } from 'node:test'
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

const unlogged = { info: () => {}, warn: () => {} }

for (const [what, report] of [
  ['exits while it is asked', null],
  ['shuts down', shuttingDown],
] as const) {
  t.test(`a worker that ${what} does not count`, async (t) => {
    const both = await workersReadiness([workerWith(ready), workerWith(report)], unlogged)
    t.same(both, { ready: true, checks: { workers: 'ok', sessions: 'ok' } })
    const alone = await workersReadiness([workerWith(report)], unlogged)
    t.same(alone, { ready: false, checks: { workers: 'internal_error' } })
  })
}

t.test('a worker that does not respond is logged once, and when it responds again', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let isSilent = true
  const send = ({ id }: { id: string }) => {
    if (!isSilent) receiveReport({ type: 'report', id, report: ready })
  }
  const process = { pid: 17, connected: true, send }
  const worker = { isDead: () => false, process } as unknown as Worker
  const lines: unknown[] = []
  const log = (...line: unknown[]) => void lines.push(line)
  const readiness = () => {
    const result = workersReadiness([worker], { info: log, warn: log })
    mock.timers.tick(2_000)
    return result
  }
  for (let time = 0; time < 2; time += 1) {
    t.same(await readiness(), { ready: false, checks: { workers: 'timeout' } })
  }
  isSilent = false
  for (let time = 0; time < 2; time += 1) t.match(await readiness(), { ready: true })
  t.same(lines, [
    [{ worker: 17 }, 'a worker does not respond'],
    [{ worker: 17 }, 'a worker responds again'],
  ])
})
