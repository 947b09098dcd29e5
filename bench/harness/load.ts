import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { processorTime_s } from './machine.ts'
import type { Server } from './processes.ts'
import type { BenchOptions, Readings } from './scenario.ts'
import { percentile } from './statistics.ts'
import { prepareTraffic, type Traffic } from './traffic.ts'

/** The process that generates the load. It receives one order by message and replies with the result. */

export interface LoadOrder {
  readonly server: Pick<Server, 'url' | 'pid' | 'storePid'>
  readonly options: Pick<BenchOptions, 'connections' | 'duration_s' | 'warmup_s'>
  readonly traffic: Traffic
}

export type LoadOutcome = { readonly readings: Readings } | { readonly failure: string }

/** Limit after which autocannon stops itself, if the stop below fails. */
const longest_s = 600
/** The longest measurement by the clock, as a multiple of its processor time. */
const longestFactor = 5
const pollMs = 20

async function carryOut({ server, options, traffic }: LoadOrder): Promise<LoadOutcome> {
  const { warmup_s, duration_s, connections } = options
  const failed = Promise.withResolvers<never>()
  // The message may arrive before the code waits for it.
  failed.promise.catch(() => {})
  const fail = (reason: string) => failed.reject(new Error(reason))
  const setupClient = prepareTraffic(traffic, connections, fail)
  const ended = Promise.withResolvers<void>()
  const run = autocannon(
    { url: server.url, connections, duration: longest_s, timeout: 60, setupClient },
    (error: Error | null, result?: { readonly errors: number }) => {
      if (error !== null) fail(error.message)
      if (result !== undefined && result.errors > 0) fail(`${result.errors} requests had no answer`)
      ended.resolve()
    },
  )
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
    return readingsOf(before, after, measured)
  }
  try {
    return { readings: await Promise.race([measure(), failed.promise]) }
  } catch (error) {
    run.stop()
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

/**
 * Resolves when a server has worked for some time. On a busy machine that takes longer than by the clock,
 * and a shorter measurement would be one of code that is not compiled yet.
 */
async function untilWorked(pid: number, time_s: number): Promise<void> {
  const end_s = processorTime_s(pid) + time_s
  const lastMs = performance.now() + longestFactor * time_s * 1000
  while (processorTime_s(pid) < end_s && performance.now() < lastMs) await sleep(pollMs)
}

/**
 * The load never sleeps. On a virtual machine, waking a process on another core costs the server a third
 * of a request.
 */
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
    load_us: user + system,
    hasStore: storePid !== undefined,
  }
}

function readingsOf(before: Usage, after: Usage, latencies_ms: readonly number[]): Readings {
  const elapsed_s = after.at_s - before.at_s
  const server_s = after.server_s - before.server_s
  const store_s = after.store_s - before.store_s
  const sorted = Float64Array.from(latencies_ms).sort()
  return {
    per_second: sorted.length / elapsed_s,
    per_core_second: sorted.length / server_s,
    cost_us: (1e6 * (server_s + store_s)) / sorted.length,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    server_busy: server_s / elapsed_s,
    load_busy: (after.load_us - before.load_us) / (1e6 * elapsed_s),
    ...(before.hasStore && { store_busy: store_s / elapsed_s }),
  }
}

process.once('message', async (order) => {
  stayAwake()
  process.send?.(await carryOut(order as LoadOrder))
})
process.once('disconnect', () => process.exit())
