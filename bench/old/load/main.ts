import { setTimeout as sleep } from 'node:timers/promises'
import { countInstructions } from '../harness/instructions.ts'
import { familyTime_s, processorTime_s } from '../harness/process-figures.ts'
import type { Readings } from '../harness/scenario.ts'
import { percentile } from '../harness/statistics.ts'
import { startFlood } from './flood.ts'
import type { LoadSpec } from './load.ts'
import { startPaced } from './paced.ts'

/** The process that makes the load: gets one order by message, carries it out, tells the outcome. */

export interface LoadOrder extends LoadSpec {
  readonly serverPid: number
  /** The server's store, where that is a process of its own. */
  readonly storePid?: number
  readonly duration_s: number
  readonly warmup_s: number
  /** How many requests a second; without it as many as are answered. */
  readonly pace_per_second?: number
  /** What else than 200 an answer may be; such answers are not counted. */
  readonly refusals?: readonly number[]
  readonly countsInstructions?: boolean
}

export type LoadOutcome = { readonly readings: Readings } | { readonly failure: string }

async function carryOut(order: LoadOrder): Promise<LoadOutcome> {
  const { duration_s, warmup_s, pace_per_second, refusals = [] } = order
  const latencies_ms: number[] = []
  let isMeasuring = false
  const failed = Promise.withResolvers<never>()
  // It may come before anybody waits for it.
  failed.promise.catch(() => {})
  const events = {
    failed: (reason: string) => failed.reject(new Error(reason)),
    answered(status: number, latency_ms: number) {
      if (refusals.includes(status)) return
      if (status !== 200) events.failed(`an answer had the status ${status}`)
      if (isMeasuring) latencies_ms.push(latency_ms)
    },
  }
  const load = await (pace_per_second === undefined
    ? startFlood(order, warmup_s + duration_s, events)
    : startPaced(order, pace_per_second, events))
  const measure = async () => {
    await sleep(warmup_s * 1000)
    const count = order.countsInstructions ? await countInstructions(order.serverPid) : null
    const begin = usage(order)
    isMeasuring = true
    await sleep(duration_s * 1000)
    isMeasuring = false
    const end = usage(order)
    const instructions = (await count?.stop()) ?? null
    load.stop()
    await load.ended
    if (latencies_ms.length === 0) throw new Error('no request had an answer')
    return {
      ...readings(begin, end, latencies_ms),
      ...(instructions !== null && { instructions: instructions / latencies_ms.length }),
    }
  }
  try {
    return { readings: await Promise.race([measure(), failed.promise]) }
  } catch (error) {
    load.stop()
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

interface Usage {
  readonly at_s: number
  readonly server_s: number
  readonly store_s: number | null
  readonly load_s: number
}

function usage({ serverPid, storePid }: LoadOrder): Usage {
  return {
    at_s: performance.now() / 1000,
    server_s: familyTime_s(serverPid),
    store_s: storePid === undefined ? null : familyTime_s(storePid),
    load_s: processorTime_s(process.pid),
  }
}

function readings(begin: Usage, end: Usage, latencies_ms: readonly number[]): Readings {
  const elapsed_s = end.at_s - begin.at_s
  const server_s = end.server_s - begin.server_s
  const store_s = (end.store_s ?? 0) - (begin.store_s ?? 0)
  const sorted = Float64Array.from(latencies_ms).sort()
  return {
    per_second: sorted.length / elapsed_s,
    per_core_second: sorted.length / server_s,
    cost_us: (1e6 * (server_s + store_s)) / sorted.length,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    server_busy: server_s / elapsed_s,
    load_busy: (end.load_s - begin.load_s) / elapsed_s,
    ...(begin.store_s !== null && { store_busy: store_s / elapsed_s }),
  }
}

process.once('message', async (order) => {
  process.send?.(await carryOut(order as LoadOrder))
})
process.once('disconnect', () => process.exit())
