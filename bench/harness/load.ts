import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { processorTime_s } from './machine.ts'
import type { Server } from './processes.ts'
import type { BenchOptions, Readings } from './scenario.ts'
import { percentile } from './statistics.ts'
import { prepareTraffic, type Traffic } from './traffic.ts'

/** The process that generates the load. It receives one order by message and answers with the outcome. */

export interface LoadOrder {
  readonly server: Pick<Server, 'url' | 'pid' | 'storePid'>
  readonly options: Pick<BenchOptions, 'connections' | 'duration_s' | 'warmup_s'>
  readonly traffic: Traffic
}

export type LoadOutcome = { readonly readings: Readings } | { readonly failure: string }

/** Limit after which autocannon stops itself, if the stop below fails. */
const maxDuration_s = 600
/** The longest measurement by the clock, as a multiple of its processor time. */
const maxClockFactor = 5
const pollMs = 20

async function carryOut({ server, options, traffic }: LoadOrder): Promise<LoadOutcome> {
  const { warmup_s, duration_s, connections } = options
  const failed = Promise.withResolvers<never>()
  // The load may fail before the code below waits for this promise.
  failed.promise.catch(() => {})
  const fail = (reason: string) => failed.reject(new Error(reason))
  const setupClient = prepareTraffic(traffic, connections, fail)
  const ended = Promise.withResolvers<void>()
  const run = autocannon(
    { url: server.url, connections, duration: maxDuration_s, timeout: 60, setupClient },
    (error: Error | null) => {
      if (error !== null) fail(error.message)
      ended.resolve()
    },
  )
  run.on('reqError', ({ message }: Error) => fail(`a request had no answer: ${message}`))
  const latencies_ms: number[] = []
  run.on('response', (_client: unknown, status: number, _bytes: number, latency_ms: number) => {
    if (status === 200) latencies_ms.push(latency_ms)
    else fail(`an answer had the status ${status}`)
  })
  const measure = async () => {
    await once(run, 'start')
    await untilWorked(server.pid, warmup_s)
    const before = usageOf(server)
    const warmCount = latencies_ms.length
    await untilWorked(server.pid, duration_s)
    const after = usageOf(server)
    const measured = latencies_ms.slice(warmCount)
    run.stop()
    await ended.promise
    if (measured.length === 0) throw new Error('no request had an answer')
    return readingsOf(before, after, measured, server.storePid !== undefined)
  }
  try {
    return { readings: await Promise.race([measure(), failed.promise]) }
  } catch (error) {
    run.stop()
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

/**
 * Resolves when a server has used some processor time. By the clock, a server on a busy machine would run
 * less often, and a measurement would include more code that V8 has not optimized yet.
 */
async function untilWorked(pid: number, time_s: number): Promise<void> {
  const end_s = processorTime_s(pid) + time_s
  const lastMs = performance.now() + maxClockFactor * time_s * 1000
  while (processorTime_s(pid) < end_s && performance.now() < lastMs) await sleep(pollMs)
}

/** On a virtual machine, waking a process on another core costs the server a third of a request. */
function stayAwake(): void {
  setImmediate(stayAwake)
}

type Usage = ReturnType<typeof usageOf>

function usageOf({ pid, storePid }: LoadOrder['server']) {
  const { user, system } = process.cpuUsage()
  return {
    at_s: performance.now() / 1000,
    server_s: processorTime_s(pid),
    store_s: storePid === undefined ? 0 : processorTime_s(storePid),
    load_s: (user + system) / 1e6,
  }
}

function readingsOf(
  before: Usage,
  after: Usage,
  latencies_ms: readonly number[],
  hasStore: boolean,
): Readings {
  const spent = (what: keyof Usage) => after[what] - before[what]
  const [elapsed_s, server_s, store_s] = [spent('at_s'), spent('server_s'), spent('store_s')]
  const sorted = Float64Array.from(latencies_ms).sort()
  return {
    per_second: sorted.length / elapsed_s,
    per_core_second: sorted.length / server_s,
    cost_us: (1e6 * (server_s + store_s)) / sorted.length,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    server_busy: server_s / elapsed_s,
    load_busy: spent('load_s') / elapsed_s,
    ...(hasStore && { store_busy: store_s / elapsed_s }),
  }
}

process.once('message', async (order) => {
  stayAwake()
  process.send?.(await carryOut(order as LoadOrder))
})
process.once('disconnect', () => process.exit())
