import type { Cores } from './machine.ts'
import type { MetricName } from './metrics.ts'
import type { Revision } from './revision.ts'

/** The result of one measurement. */
export type Readings = Readonly<Partial<Record<MetricName, number>>>

/** Something that is measured: a server under load, or a loop of work. */
export interface Subject {
  readonly name: string
  /** The subject that shows what the same work costs at the least. */
  readonly limit?: string
  /** Starts its processes afresh, measures once and ends them. Rejects when an answer was wrong. */
  measure(): Promise<Readings>
}

export interface BenchOptions {
  /** How often each subject is measured. */
  readonly rounds: number
  /** How long one measurement lasts. */
  readonly duration_s: number
  /** How long a server takes load, or a loop runs, before the measurement. */
  readonly warmup_s: number
  /** How many connections ask at once, each one request at a time. */
  readonly connections: number
  /** How many sessions the scenarios of scale go up to. */
  readonly maxSessions: number
}

/** The tools of a scenario. */
export interface Bench {
  readonly options: BenchOptions
  /** The cores to pin to; null when processes can't be pinned here. */
  readonly cores: Cores | null
  /** The Gatepass that is measured. */
  readonly revision: Revision
  /** An empty folder that is removed at the end of the scenario. */
  readonly scratch: string
  /** Has something ended when the scenario is over, however it went; the newest first. */
  defer(end: () => Promise<void>): void
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** How many connections ask at once, where it is not as many as in other scenarios. */
  readonly connections?: number
  /** Gatepass at this work, by the names that stay the same from revision to revision. */
  ours(bench: Bench): Promise<readonly Subject[]>
  /** The alternatives, and the cheapest version of the same work. */
  rivals?(bench: Bench): Promise<readonly Subject[]>
}

/** The bench of one scenario: with as many connections as the scenario asks for. */
export function benchFor({ connections }: Scenario, bench: Bench): Bench {
  if (connections === undefined) return bench
  return { ...bench, options: { ...bench.options, connections } }
}
