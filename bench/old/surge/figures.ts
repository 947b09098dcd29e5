import { percentile } from '../harness/statistics.ts'
import type { Ended, Recorder } from './load/recorder.ts'
import type { Moment, Phase, Totals } from './result.ts'
import type { Script } from './script.ts'

/** A sign-out that is accepted anywhere after this is late. */
const lateMs = 1_000

/** @param unitPerSecond actions a second at 1× */
export function phasesOf({ ended }: Recorder, script: Script, unitPerSecond: number): Phase[] {
  return script.stretches.map(({ name, startMs, endMs, factor }) => {
    const isWithin = (atMs: number) => atMs >= startMs && atMs < endMs
    const due = ended.filter(({ dueMs }) => isWithin(dueMs))
    const seconds = (endMs - startMs) / 1000
    const latencies = latenciesOf(due)
    return {
      name,
      startMs,
      endMs,
      factor,
      rate: unitPerSecond * factor,
      ended_per_second: ended.filter((one) => isWithin(one.endMs)).length / seconds,
      requests: due.length,
      failures: due.filter(({ hasFailed }) => hasFailed).length,
      p50: at(latencies, 0.5) ?? 0,
      p99: at(latencies, 0.99) ?? 0,
      p999: at(latencies, 0.999) ?? 0,
      max: latencies.at(-1) ?? 0,
    }
  })
}

export function seriesOf({ ended, seconds }: Recorder, script: Script): Moment[] {
  const bySecond = Map.groupBy(ended, ({ endMs }) => Math.floor(endMs / 1000))
  return Array.from({ length: Math.ceil(script.endMs / 1000) }, (_, second) => {
    const now = bySecond.get(second) ?? []
    const latencies = latenciesOf(now)
    return {
      tMs: second * 1000,
      requests: now.length,
      failures: now.filter(({ hasFailed }) => hasFailed).length,
      firstFailures: seconds.get(second)?.firstFailures ?? 0,
      byReplica: seconds.get(second)?.replicas.toObject() ?? {},
      p50: at(latencies, 0.5),
      p99: at(latencies, 0.99),
    }
  })
}

export function totalsOf(recorder: Recorder): Totals {
  const latencies = latenciesOf(recorder.ended)
  const { signOutBites_ms: bites } = recorder
  return {
    failures: recorder.failuresByKind.sum,
    failuresByKind: recorder.failuresByKind.toObject(),
    signedOut: recorder.signedOutByReason.sum,
    signedOutByReason: recorder.signedOutByReason.toObject(),
    lostItems: recorder.lostItems,
    cartsWithLoss: recorder.usersWithLoss.size,
    signOuts: bites.length,
    lateSignOuts: bites.filter((ms) => ms > lateMs).length,
    signOutBites_ms: bites.map(Math.round),
    doubledItems: recorder.doubledItems,
    actions: recorder.ended.length,
    actionsByName: recorder.actions.toObject(),
    requests: recorder.requests,
    retries: recorder.retries,
    firstFailures: recorder.firstFailuresByKind.sum,
    firstFailuresByKind: recorder.firstFailuresByKind.toObject(),
    cartsCompared: recorder.cartsCompared,
    logins: recorder.logins,
    refreshes: recorder.refreshes,
    p50: at(latencies, 0.5) ?? 0,
    p99: at(latencies, 0.99) ?? 0,
    p999: at(latencies, 0.999) ?? 0,
  }
}

function latenciesOf(ended: readonly Ended[]): Float64Array {
  return Float64Array.from(ended, ({ dueMs, endMs }) => endMs - dueMs).sort()
}

/** To a tenth of a millisecond: more than that is noise. */
function at(sorted: Float64Array, share: number): number | null {
  return sorted.length === 0 ? null : Math.round(percentile(sorted, share) * 10) / 10
}
