import type { Cores } from './machine.ts'
import type { MetricName } from './metrics.ts'
import type { Revision } from './revision.ts'

export type Readings = Readonly<Partial<Record<MetricName, number>>>

/** A server under load, or a loop of work. */
export interface Subject {
  readonly name: string
  /** Names of subjects. The table shows the ratio to each of them, per core-second. */
  readonly comparedWith?: readonly string[] | undefined
  /** Starts fresh processes, measures once and stops them. Rejects if a response was wrong. */
  measure(): Promise<Readings>
}

export interface BenchOptions {
  readonly rounds: number
  /** Processor time of a server in one measurement. */
  readonly duration_s: number
  /** Processor time of a server before the measurement. */
  readonly warmup_s: number
  /** Concurrent connections, each with one request at a time. */
  readonly connections: number
  /** Maximum number of sessions in the scenarios of scale. */
  readonly maxSessions: number
}

/** The tools of a scenario. */
export interface Bench {
  readonly options: BenchOptions
  /** The cores to pin processes to; null if processes share all cores. */
  readonly cores: Cores | null
  readonly revision: Revision
  /** A folder for files, which is removed at the end of the scenario. */
  readonly scratch: string
  /** Registers a cleanup for the end of the scenario. The newest runs first. */
  defer(end: () => Promise<void>): void
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** Replaces `--connections`. */
  readonly connections?: number
  /** Whether processes are pinned to cores. Default: true. */
  readonly isPinned?: boolean
  /** The subjects of Gatepass, whose names are the same in all revisions. */
  ours(bench: Bench): Promise<readonly Subject[]>
  /** The alternatives, and the cheapest version of the same work. */
  rivals?(bench: Bench): Promise<readonly Subject[]>
}
