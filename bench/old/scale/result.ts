import type { describeGatepass, describeMachine } from '../harness/machine.ts'
import type { BenchOptions } from '../harness/scenario.ts'
import type { Growth } from './growth.ts'
import type { Simulation } from './simulation/simulate.ts'

/** What one measurement gives, by the keys of the columns. */
export type Figures = Readonly<Record<string, number>>

export interface Column {
  readonly key: string
  readonly label: string
  readonly digits: number
  /** What ten times the size may multiply it by; without it, its growth is of no interest. */
  readonly tenfoldUnder?: number
}

/** The measurements of one size. */
export interface Point {
  readonly size: number
  /** One for each round. */
  readonly readings: readonly Figures[]
}

export interface ColumnGrowth extends Growth {
  readonly key: string
  /** The whole way from the smallest size to the largest. */
  readonly ends: number
}

/** Something measured at sizes that are about a factor apart. */
export interface SweepResult {
  readonly name: string
  readonly title: string
  /** What there is more of from point to point. */
  readonly of: string
  readonly date: string
  readonly gatepass: ReturnType<typeof describeGatepass>
  readonly options: BenchOptions
  /** How many processes wanted a core before it began; above 0.5 somebody else is at work. */
  readonly load_before: number
  readonly columns: readonly Column[]
  readonly points: readonly Point[]
  readonly growth: readonly ColumnGrowth[]
  /** Which sizes were not measured, and why. */
  readonly leftOut: readonly string[]
}

/** All that is known of one run; its sweeps may have been measured in several goes. */
export interface ScaleResult {
  readonly kind: 'scale'
  readonly date: string
  readonly node: string
  readonly machine: ReturnType<typeof describeMachine>
  readonly sweeps: readonly SweepResult[]
  /** Null as long as a cost that it takes is missing. */
  readonly simulation: Simulation | null
}
