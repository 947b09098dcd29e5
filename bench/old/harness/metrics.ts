export interface Metric {
  readonly label: string
  readonly digits: number
  /** Whether it is what the subject is measured for, so that its spread is shown too. */
  readonly isMain: boolean
}

/** Everything that a measurement can give, in the order that the table shows. */
export const metrics = {
  per_second: { label: 'per second', digits: 0, isMain: true },
  /** For each second of processor time of the server: steadier when others use the machine too. */
  per_core_second: { label: 'per core-second', digits: 0, isMain: true },
  /** Processor time for each answer, of the server and of the store that it asks. */
  cost_us: { label: 'µs a request', digits: 0, isMain: false },
  /** To the store, for each answer, as the store has counted them. */
  round_trips: { label: 'round trips a request', digits: 2, isMain: false },
  /** Executed in user space by the server for each answer, where the machine counts them. */
  instructions: { label: 'instructions', digits: 0, isMain: false },
  bytes_per_session: { label: 'bytes a session', digits: 0, isMain: true },
  ready_ms: { label: 'ready ms', digits: 0, isMain: true },
  resident_mib: { label: 'resident MiB', digits: 1, isMain: true },
  p50_ms: { label: 'p50 ms', digits: 2, isMain: false },
  p99_ms: { label: 'p99 ms', digits: 2, isMain: false },
  /** What a second load, beside the one that is measured, was answered. */
  beside_per_second: { label: 'beside it, per second', digits: 0, isMain: false },
  /** Processor time over elapsed time. */
  server_busy: { label: 'server busy', digits: 2, isMain: false },
  load_busy: { label: 'load busy', digits: 2, isMain: false },
  /** A store runs on the core of the load: with that, it shows whether the core was full. */
  store_busy: { label: 'store busy', digits: 2, isMain: false },
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof metrics

export const metricNames = Object.keys(metrics) as MetricName[]

/** `12,345` or `0.96`. */
export function formatNumber(value: number, digits: number): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
}
