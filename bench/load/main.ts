import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { processorTime_s } from '../harness/process-figures.ts'
import type { Readings } from '../harness/scenario.ts'
import { percentile } from '../harness/statistics.ts'
import { createSetUp, type Traffic } from './traffic.ts'

/** The process that makes the load: gets one order by message, carries it out, tells the outcome. */

export interface LoadOrder {
  readonly url: string
  readonly serverPid: number
  readonly connections: number
  readonly duration_s: number
  readonly warmup_s: number
  readonly traffic: Traffic
}

export type LoadOutcome = { readonly readings: Readings } | { readonly failure: string }

/** autocannon looks at the clock once a second only: it is told to go on, and stopped by us. */
const slack_s = 2

function carryOut(order: LoadOrder): Promise<LoadOutcome> {
  const { url, connections, duration_s, warmup_s } = order
  const { promise, resolve } = Promise.withResolvers<LoadOutcome>()
  const latencies_ms: number[] = []
  let failure: string | null = null
  let isMeasuring = false
  let begin = usage(order.serverPid)
  let end = begin

  const fail = (reason: string): void => {
    failure ??= reason
    run.stop()
  }
  const run = autocannon(
    {
      url,
      connections,
      duration: warmup_s + duration_s + slack_s,
      setupClient: createSetUp(order.traffic, connections, fail),
    },
    (error, result) => {
      if (error !== null) failure ??= error.message
      if (result?.errors > 0) failure ??= `${result.errors} requests had no answer`
      if (latencies_ms.length === 0) failure ??= 'no request had an answer'
      if (failure === null) resolve({ readings: readings(begin, end, latencies_ms) })
      else resolve({ failure })
    },
  )
  run.on('response', (_client: unknown, status: number, _bytes: number, latency_ms: number) => {
    if (status !== 200) fail(`an answer had the status ${status}`)
    if (isMeasuring) latencies_ms.push(latency_ms)
  })
  // Every connection has its requests built by then.
  run.once('start', async () => {
    await sleep(warmup_s * 1000)
    begin = usage(order.serverPid)
    isMeasuring = true
    await sleep(duration_s * 1000)
    isMeasuring = false
    end = usage(order.serverPid)
    run.stop()
  })
  return promise
}

interface Usage {
  readonly at_s: number
  readonly server_s: number
  readonly load_s: number
}

function usage(serverPid: number): Usage {
  return {
    at_s: performance.now() / 1000,
    server_s: processorTime_s(serverPid),
    load_s: processorTime_s(process.pid),
  }
}

function readings(begin: Usage, end: Usage, latencies_ms: readonly number[]): Readings {
  const elapsed_s = end.at_s - begin.at_s
  const server_s = end.server_s - begin.server_s
  const sorted = Float64Array.from(latencies_ms).sort()
  return {
    per_second: sorted.length / elapsed_s,
    per_core_second: sorted.length / server_s,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    server_busy: server_s / elapsed_s,
    load_busy: (end.load_s - begin.load_s) / elapsed_s,
  }
}

process.once('message', async (order) => {
  process.send?.(await carryOut(order as LoadOrder))
})
process.once('disconnect', () => process.exit())
