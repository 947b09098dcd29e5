import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { insertReport } from '../harness/document.ts'
import { describeMachine } from '../harness/machine.ts'
import type { Bench } from '../harness/scenario.ts'
import { markdownTable, textTable } from '../harness/table.ts'
import type { ScaleArguments } from './arguments.ts'
import type { ScaleResult, SweepResult } from './result.ts'
import { costsOf } from './simulation/costs.ts'
import { simulate } from './simulation/simulate.ts'
import { growthsOf, runSweep } from './sweep.ts'
import { sweeps } from './sweeps/index.ts'
import { costsTable, needsTable, sweepReport } from './tables.ts'

const folder = new URL('../results/', import.meta.url)
const documents = new URL('../../../docs/', import.meta.url)

/** What `npm run bench -- scale` does. What has been measured is kept, however it ends. */
export async function runScaleCommand(
  given: ScaleArguments,
  bench: Bench,
  tell: (line: string) => void,
): Promise<void> {
  let result = given.into === null ? emptyResult(bench) : readResult(given.into)
  const path = given.into ?? newPath(result)
  for (const sweep of given.chosen) {
    const measured = await withOwnFolder(sweep.name, bench, (own) =>
      runSweep(sweep, given.sizeMax(sweep), own, tell),
    )
    result = withSweep(result, measured)
    save(result, path)
  }
  const costs = costsOf(result.sweeps)
  result = { ...result, simulation: costs && simulate(costs) }
  save(result, path)
  tell(`raw values: ${path}`)
  process.stdout.write(given.asJson ? `${JSON.stringify(result, null, 2)}\n` : textReport(result))
  if (given.intoDocuments) document(result)
}

function emptyResult(bench: Bench): ScaleResult {
  return {
    kind: 'scale',
    date: new Date().toISOString(),
    node: process.version,
    machine: describeMachine(bench),
    sweeps: [],
    simulation: null,
  }
}

/** What the rounds gave, with what this version makes of it. */
function readResult(path: string): ScaleResult {
  const result = JSON.parse(readFileSync(path, 'utf8')) as ScaleResult
  if (result.kind !== 'scale') throw new Error(`${path} is not the result of this`)
  const again = (sweep: SweepResult) => ({
    ...sweep,
    growth: growthsOf(sweep.columns, sweep.points),
  })
  return { ...result, sweeps: result.sweeps.map(again) }
}

function newPath({ date }: ScaleResult): string {
  mkdirSync(folder, { recursive: true })
  return fileURLToPath(new URL(`scale-${date.replaceAll(/[:.]/g, '-')}.json`, folder))
}

function save(result: ScaleResult, path: string): void {
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
}

/** In the order of the sweeps, whichever was measured last. */
function withSweep(result: ScaleResult, measured: SweepResult): ScaleResult {
  const all = [...result.sweeps.filter(({ name }) => name !== measured.name), measured]
  const sorted = sweeps.flatMap(({ name }) => all.filter((one) => one.name === name))
  return { ...result, sweeps: sorted }
}

/** Ends what a sweep has begun before the next one begins. */
async function withOwnFolder<T>(
  name: string,
  bench: Bench,
  work: (own: Bench) => Promise<T>,
): Promise<T> {
  const scratch = join(bench.scratch, name)
  mkdirSync(scratch)
  const ends: (() => Promise<void>)[] = []
  try {
    return await work({ ...bench, scratch, defer: (end) => void ends.unshift(end) })
  } finally {
    for (const end of ends) await end()
  }
}

function textReport(result: ScaleResult): string {
  const parts = result.sweeps.flatMap((sweep) => sweepReport(sweep, result, textTable))
  const { simulation } = result
  if (simulation !== null) {
    parts.push(textTable(costsTable(simulation)), textTable(needsTable(simulation)))
  }
  return `\n${parts.join('\n\n')}\n`
}

function document(result: ScaleResult): void {
  insertInto(
    'benchmarks.md',
    result.sweeps.map((sweep) => [
      `scale-${sweep.name}`,
      sweepReport(sweep, result, markdownTable).join('\n\n'),
    ]),
  )
  const { simulation } = result
  if (simulation === null) return
  insertInto('scaling.md', [
    ['scale-costs', markdownTable(costsTable(simulation))],
    ['scale-needs', markdownTable(needsTable(simulation))],
  ])
}

function insertInto(name: string, reports: readonly (readonly [string, string])[]): void {
  const file = new URL(name, documents)
  const text = reports.reduce(
    (whole, [place, report]) => insertReport(whole, place, report),
    readFileSync(file, 'utf8'),
  )
  writeFileSync(file, text)
}
