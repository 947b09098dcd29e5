interface Metric {
  readonly label: string
  readonly digits: number
  /** Whether the tables also show the minimum and the maximum. */
  readonly isMain?: boolean
  /** The better direction, for `compare`; null if the figure only explains others. */
  readonly better: 'more' | 'less' | null
  /** Whether other processes of the machine affect it. Such a metric is never a regression. */
  readonly isByClock?: boolean
}

/** All metrics of a measurement, in the order of the tables. */
export const metrics = {
  per_second: { label: 'per second', digits: 0, better: 'more', isByClock: true },
  /** Responses per second of processor time of the server. */
  per_core_second: { label: 'per core-second', digits: 0, isMain: true, better: 'more' },
  /** Processor time per response, of the server and its store. */
  cost_us: { label: 'µs a request', digits: 0, better: 'less' },
  bytes_per_session: { label: 'bytes a session', digits: 0, better: 'less' },
  start_ms: { label: 'ms to answer', digits: 0, isMain: true, better: 'less', isByClock: true },
  /** Processor time of the process until its first answer. */
  start_cpu_ms: { label: 'ms of processor time', digits: 0, isMain: true, better: 'less' },
  load_ms: { label: 'ms to load', digits: 1, better: 'less', isByClock: true },
  snapshot_bytes: { label: 'bytes of the snapshot', digits: 0, better: 'less' },
  heap_mib: { label: 'heap MiB', digits: 1, isMain: true, better: 'less' },
  resident_mib: { label: 'resident MiB', digits: 1, isMain: true, better: 'less' },
  p50_ms: { label: 'p50 ms', digits: 2, better: 'less', isByClock: true },
  p99_ms: { label: 'p99 ms', digits: 2, better: 'less', isByClock: true },
  /** Processor time over elapsed time. */
  server_busy: { label: 'server busy', digits: 2, better: null },
  idle_busy: { label: 'server busy when idle', digits: 3, better: null },
  load_busy: { label: 'load busy', digits: 2, better: null },
  /** Stores run on the core of the load. `load_busy` and `store_busy` together show whether it was full. */
  store_busy: { label: 'store busy', digits: 2, better: null },
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof metrics

export const metricNames = Object.keys(metrics) as MetricName[]

export function metricOf(name: MetricName): Metric {
  return metrics[name]
}

/** `12,345` or `0.96`. */
export function formatNumber(value: number, digits = 0): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
}
