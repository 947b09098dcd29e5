import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describeMachine } from './machine.ts'
import { readingsLine } from './report.ts'
import type { Bench, Readings, Scenario, Subject } from './scenario.ts'
import type { Log } from './workspace.ts'

const folder = new URL('../results/', import.meta.url)

export interface Series {
  readonly subject: string
  readonly comparedWith?: readonly string[] | undefined
  readonly readings: readonly Readings[]
}

export type Provenance = ReturnType<typeof describeRun>

export interface Result extends Provenance {
  readonly scenario: string
  readonly title: string
  readonly subjects: readonly Series[]
}

/** Describes the date, revision and machine of a measurement. */
export function describeRun(bench: Pick<Bench, 'revision' | 'options' | 'cores'>) {
  const { commit, isModified } = bench.revision
  return {
    date: new Date().toISOString(),
    gatepass: { commit, isModified },
    node: process.version,
    machine: describeMachine(bench),
    options: bench.options,
  }
}

/** @param only text in the names of the subjects to measure; empty for all */
export async function runScenario(
  scenario: Scenario,
  sharedBench: Bench,
  only: string,
  log: Log,
): Promise<Result> {
  const bench = benchFor(scenario, sharedBench)
  const provenance = describeRun(bench)
  const all = [...(await scenario.ours(bench)), ...((await scenario.rivals?.(bench)) ?? [])]
  const chosen = all.filter(({ name }) => name.includes(only))
  return {
    ...provenance,
    scenario: scenario.name,
    title: scenario.title,
    subjects: await runRounds(chosen, bench.options.rounds, log),
  }
}

/** Returns the bench of one scenario, with its number of connections and its cores. */
export function benchFor({ connections, isPinned = true }: Scenario, bench: Bench): Bench {
  const options = { ...bench.options, ...(connections !== undefined && { connections }) }
  return { ...bench, options, cores: isPinned ? bench.cores : null }
}

/**
 * Measures every subject once per round, in the order A B C, C B A, A B C. Other work on the machine then
 * affects all subjects, and no subject always follows the same subject.
 */
export async function runRounds(
  subjects: readonly Subject[],
  rounds: number,
  log: Log,
): Promise<Series[]> {
  const all = subjects.map((subject) => ({ subject, readings: [] as Readings[] }))
  for (let round = 1; round <= rounds; round++) {
    for (const { subject, readings } of round % 2 === 1 ? all : all.toReversed()) {
      const measured = await subject.measure()
      readings.push(measured)
      log(`${round}/${rounds} ${subject.name}: ${readingsLine(measured)}`)
    }
  }
  return all.map(({ subject: { name, comparedWith }, readings }) => {
    return { subject: name, comparedWith, readings }
  })
}

/** Saves a result in `bench/results`. @returns the path of its file */
export function saveResult(kind: string, result: { readonly date: string }): string {
  mkdirSync(folder, { recursive: true })
  const instant = result.date.replaceAll(/[:.]/g, '-')
  const path = fileURLToPath(new URL(`${kind}-${instant}.json`, folder))
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
  return path
}

/**
 * Reads the newest result of a whole run.
 * @throws if the scenario has none
 */
export function readNewest(scenario: string): Result {
  const paths = globSync(`${fileURLToPath(folder)}${scenario}-[0-9]*Z.json`)
  const path = paths.sort().at(-1)
  if (path === undefined) throw new Error(`There is no whole result of ${scenario}: run it first.`)
  return JSON.parse(readFileSync(path, 'utf8')) as Result
}
