import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describeMachine } from './machine.ts'
import { runRounds, type Series } from './rounds.ts'
import {
  type Bench,
  type BenchOptions,
  benchFor,
  type Readings,
  type Scenario,
} from './scenario.ts'

const folder = new URL('../results/', import.meta.url)

/** The date, revision and machine of a measurement. */
export interface Provenance {
  readonly date: string
  readonly gatepass: { readonly commit: string; readonly isModified: boolean }
  readonly node: string
  readonly machine: ReturnType<typeof describeMachine>
  readonly options: BenchOptions
}

/** The result of one run of a scenario, including raw values. */
export interface Result extends Provenance {
  readonly scenario: string
  readonly title: string
  readonly subjects: readonly Series[]
}

/** Called before the benchmark creates load. */
export function describeRun(bench: Bench): Provenance {
  const { commit, isModified } = bench.revision
  return {
    date: new Date().toISOString(),
    gatepass: { commit, isModified },
    node: process.version,
    machine: describeMachine(bench),
    options: bench.options,
  }
}

/** @param only part of the names of the subjects to measure; empty for all */
export async function runScenario(
  scenario: Scenario,
  given: Bench,
  only: string,
  onReading: (round: number, subject: string, readings: Readings) => void,
): Promise<Result> {
  const bench = benchFor(scenario, given)
  const provenance = describeRun(bench)
  const all = [...(await scenario.ours(bench)), ...((await scenario.rivals?.(bench)) ?? [])]
  const chosen = all.filter(({ name }) => name.includes(only))
  return {
    ...provenance,
    scenario: scenario.name,
    title: scenario.title,
    subjects: await runRounds(chosen, bench.options.rounds, onReading),
  }
}

/** Saves a result in `bench/results`. @returns the path of its file */
export function saveResult(kind: string, result: { readonly date: string }): string {
  mkdirSync(folder, { recursive: true })
  const instant = result.date.replaceAll(/[:.]/g, '-')
  const path = fileURLToPath(new URL(`${kind}-${instant}.json`, folder))
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
  return path
}

/** @throws if the scenario has no result */
export function readNewest(scenario: string): Result {
  const path = globSync(`${fileURLToPath(folder)}${scenario}-[0-9]*Z.json`)
    .sort()
    .at(-1)
  if (path === undefined) throw new Error(`There is no result of ${scenario}: run it first.`)
  return JSON.parse(readFileSync(path, 'utf8')) as Result
}
