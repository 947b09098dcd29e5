import type { Cores } from './cores.ts'
import type { MetricName } from './metrics.ts'

/** What one measurement gives. */
export type Readings = Readonly<Partial<Record<MetricName, number>>>

/** Something that is measured: a server under load, or a loop of work. */
export interface Subject {
  readonly name: string
  /** Starts its processes afresh, measures once and ends them. Rejects when an answer was wrong. */
  measure(): Promise<Readings>
  /** The instructions of one work, where they can be counted without a processor that tells. */
  countInstructions?(times: number): Promise<number>
}

export type Target = { readonly atLeast: number } | { readonly under: number }

/** A metric of a subject, as it is or as a share of the same metric of another, its limit. */
export interface Comparison {
  readonly subject: string
  readonly metric: MetricName
  readonly limit?: string
  readonly target?: Target
}

export interface BenchOptions {
  readonly rounds: number
  /** How long one measurement lasts. */
  readonly duration_s: number
  /** How long a server takes load, or a loop runs, before that. */
  readonly warmup_s: number
  /** How many connections ask at once, each one request at a time. */
  readonly connections: number
  /** Whether instructions are counted as well, which takes a process more. */
  readonly countsInstructions?: boolean
}

/** What a scenario measures with. */
export interface Bench {
  readonly options: BenchOptions
  /** The cores to pin to; null when processes can't be pinned here. */
  readonly cores: Cores | null
  /** An empty folder that is removed afterwards. */
  readonly scratch: string
  /** Has something ended when the scenario is over, however it went; the newest first. */
  defer(end: () => Promise<void>): void
}

export interface PreparedScenario {
  readonly subjects: readonly Subject[]
  readonly comparisons: readonly Comparison[]
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** Packages whose versions belong to the result. */
  readonly packages?: readonly string[]
  /** How many connections ask at once, where that is not what all others are measured with. */
  readonly connections?: number
  /** Makes the data that all rounds share. */
  prepare(bench: Bench): Promise<PreparedScenario>
}

/** The same bench, with so many connections where that is said. */
export function withConnections(connections: number | undefined, bench: Bench): Bench {
  if (connections === undefined) return bench
  return { ...bench, options: { ...bench.options, connections } }
}
