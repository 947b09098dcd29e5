import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { versionsOf } from '../peers/versions.ts'
import { type Compared, compare } from './compare.ts'
import { describeGatepass, describeMachine } from './machine.ts'
import { runRounds, type Series } from './rounds.ts'
import {
  type Bench,
  type BenchOptions,
  type Readings,
  type Scenario,
  withConnections,
} from './scenario.ts'

const folder = new URL('../results/', import.meta.url)

/** All that is known of one run, raw values included. */
export interface Result {
  readonly scenario: string
  readonly title: string
  readonly date: string
  readonly gatepass: ReturnType<typeof describeGatepass>
  readonly node: string
  readonly machine: ReturnType<typeof describeMachine>
  /** The versions of what it was measured beside. */
  readonly packages?: Readonly<Record<string, string>>
  readonly options: BenchOptions
  readonly subjects: readonly Series[]
  readonly comparisons: readonly Compared[]
}

export async function runScenario(
  scenario: Scenario,
  given: Bench,
  onReading: (round: number, subject: string, readings: Readings) => void,
): Promise<Result> {
  const bench = withConnections(scenario.connections, given)
  // Looked at before we put load on the machine ourselves.
  const machine = describeMachine(bench)
  const { subjects, comparisons } = await scenario.prepare(bench)
  const series = await runRounds(subjects, bench.options.rounds, onReading)
  return {
    scenario: scenario.name,
    title: scenario.title,
    date: new Date().toISOString(),
    gatepass: describeGatepass(),
    node: process.version,
    machine,
    ...(scenario.packages && { packages: versionsOf(scenario.packages) }),
    options: bench.options,
    subjects: series,
    comparisons: comparisons.map((one) => compare(one, series)),
  }
}

/** @returns the path of the file it was put in */
export function saveResult(result: Result): string {
  mkdirSync(folder, { recursive: true })
  const instant = result.date.replaceAll(/[:.]/g, '-')
  const path = fileURLToPath(new URL(`${result.scenario}-${instant}.json`, folder))
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
  return path
}
