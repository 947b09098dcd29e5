import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { familyTime_s, processorTime_s } from './machine.ts'
import type { Readings } from './scenario.ts'
import { percentile } from './statistics.ts'
import { type Connection, prepareTraffic, type Traffic } from './traffic.ts'

/** The process that generates the load. It receives one order by message and replies with the result. */

export interface LoadOrder {
  readonly url: string
  readonly connections: number
  readonly traffic: Traffic
  readonly serverPid: number
  /** The store of the server, if it is a separate process. */
  readonly storePid?: number
  readonly duration_s: number
  readonly warmup_s: number
  /** Requests per second. Default: as many as the server answers. */
  readonly perSecond?: number
  /** Accepted statuses besides 200. Their responses are not counted. */
  readonly refusals?: readonly number[]
}

export type LoadOutcome = { readonly readings: Readings } | { readonly failure: string }

/** Limit after which autocannon stops itself, if the stop below fails. */
const longest_s = 600
const pollMs = 20

async function carryOut(order: LoadOrder): Promise<LoadOutcome> {
  const { refusals = [], warmup_s, duration_s, connections } = order
  const failed = Promise.withResolvers<never>()
  // The message may arrive before the code waits for it.
  failed.promise.catch(() => {})
  const fail = (reason: string) => failed.reject(new Error(reason))
  const { setUp, warmRequests } = prepareTraffic(order.traffic, connections, fail)
  const { run, ended } = start(order, setUp, fail)
  const latencies_ms: number[] = []
  run.on('response', (_client: unknown, status: number, _bytes: number, latency_ms: number) => {
    if (status === 200) latencies_ms.push(latency_ms)
    else if (!refusals.includes(status)) fail(`an answer had the status ${status}`)
  })
  const measure = async () => {
    await once(run, 'start')
    await sleep(warmup_s * 1000)
    while (latencies_ms.length < warmRequests) await sleep(pollMs)
    const before = usageOf(order)
    const warmCount = latencies_ms.length
    await sleep(duration_s * 1000)
    const after = usageOf(order)
    const measured = latencies_ms.slice(warmCount)
    run.stop()
    await ended
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

function start(
  { url, connections, perSecond }: LoadOrder,
  setUp: (connection: Connection) => void,
  fail: (reason: string) => void,
) {
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const pace = perSecond === undefined ? {} : { overallRate: perSecond }
  const options = {
    url,
    connections,
    duration: longest_s,
    timeout: 60,
    setupClient: setUp,
    ...pace,
  }
  const run = autocannon(options, (error: Error | null, result?: { readonly errors: number }) => {
    if (error !== null) fail(error.message)
    if (result !== undefined && result.errors > 0) fail(`${result.errors} requests had no answer`)
    resolve()
  })
  return { run, ended }
}

/**
 * The load never sleeps. On a virtual machine, waking a process on another core costs the server a third
 * of a request.
 */
function stayAwake(): void {
  setImmediate(stayAwake)
}

interface Usage {
  readonly at_s: number
  readonly server_s: number
  readonly store_s: number | null
  readonly load_s: number
}

function usageOf({ serverPid, storePid }: LoadOrder): Usage {
  return {
    at_s: performance.now() / 1000,
    server_s: familyTime_s(serverPid),
    store_s: storePid === undefined ? null : familyTime_s(storePid),
    load_s: processorTime_s(process.pid),
  }
}

function readingsOf(before: Usage, after: Usage, latencies_ms: readonly number[]): Readings {
  const elapsed_s = after.at_s - before.at_s
  const server_s = after.server_s - before.server_s
  const store_s = (after.store_s ?? 0) - (before.store_s ?? 0)
  const sorted = Float64Array.from(latencies_ms).sort()
  return {
    per_second: sorted.length / elapsed_s,
    per_core_second: sorted.length / server_s,
    cost_us: (1e6 * (server_s + store_s)) / sorted.length,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    server_busy: server_s / elapsed_s,
    load_busy: (after.load_s - before.load_s) / elapsed_s,
    ...(before.store_s !== null && { store_busy: store_s / elapsed_s }),
  }
}

process.once('message', async (order) => {
  stayAwake()
  process.send?.(await carryOut(order as LoadOrder))
})
process.once('disconnect', () => process.exit())
