import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Bench } from '../harness/scenario.ts'
import { publish, writePage } from '../report/write.ts'
import { runSurge } from './main.ts'
import { type FaultName, faults, sizeOf } from './options.ts'
import type { SurgeResult } from './result.ts'
import type { System } from './system.ts'
import { systems } from './systems/index.ts'
import { surgeTable } from './table.ts'

const folder = new URL('../results/', import.meta.url)

export const surgeUsage = `npm run bench -- surge [options]

  A shop under ten times the load, while replicas die, the Redis primary fails over and keys rotate.

  --quick            a surge of some 20 s: to see that all works, not to quote
  --systems <list>   some of ${systems.map(({ name }) => name).join(', ')}
  --fault <name>     break it on purpose, to see that the counters are not blind:
${Object.entries(faults)
  .map(([name, { what, seenBy }]) => `                     ${name.padEnd(19)} ${what}: ${seenBy}`)
  .join('\n')}
  --json             print the result as JSON instead of a table
  --document         put it into README.md, docs/benchmarks.md and docs/images/surge.svg as well
`

export interface SurgeArguments {
  readonly isQuick: boolean
  readonly only: readonly System[]
  readonly fault: FaultName | null
  readonly asJson: boolean
  readonly intoDocument: boolean
}

/** @throws with the reason, when the arguments are not acceptable */
export function readSurgeArguments(args: readonly string[]): SurgeArguments {
  try {
    return readOptions(args)
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n\n${surgeUsage}`)
  }
}

function readOptions(args: readonly string[]): SurgeArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      systems: { type: 'string' },
      fault: { type: 'string' },
      json: { type: 'boolean', default: false },
      document: { type: 'boolean', default: false },
    },
  })
  const { fault = null } = values
  const only = values.systems?.split(',') ?? systems.map(({ name }) => name)
  if (fault !== null && !Object.hasOwn(faults, fault))
    throw new Error(`There is no fault ${fault}.`)
  const unknown = only.find((name) => !systems.some((one) => one.name === name))
  if (unknown !== undefined) throw new Error(`There is no system ${unknown}.`)
  const isWhole =
    !values.quick && fault === null && systems.every(({ name }) => only.includes(name))
  if (values.document && !isWhole) throw new Error('Only a whole and honest run is for a document.')
  return {
    isQuick: values.quick,
    only: systems.filter(({ name }) => only.includes(name)),
    // Only our own system is made to fail.
    fault: fault as FaultName | null,
    asJson: values.json,
    intoDocument: values.document,
  }
}

/** Runs it, and leaves all that is known of it in `bench/results/`. */
export async function runSurgeCommand(
  { isQuick, only, fault, asJson, intoDocument }: SurgeArguments,
  bench: Bench,
  tell: (line: string) => void,
): Promise<void> {
  const size = sizeOf(isQuick, fault)
  const chosen = fault === null ? only : systems.slice(0, 1)
  const result = await runSurge({ size, systems: chosen, bench, tell })
  const path = save(result)
  tell(`raw values: ${path}`)
  tell(`report: ${writePage(path, tell)}`)
  if (intoDocument) publish(path)
  process.stdout.write(
    asJson ? `${JSON.stringify(result, null, 2)}\n` : `\n${surgeTable(result)}\n`,
  )
  if (fault === null) return
  const { seenBy } = faults[fault]
  const count = result.systems.gatepass?.totals[seenBy] ?? 0
  tell(`${fault}: ${seenBy} is ${count}`)
  if (count === 0) throw new Error('Nothing has seen the fault.')
}

/** @returns the path of the file it was put in */
function save(result: SurgeResult): string {
  mkdirSync(folder, { recursive: true })
  const instant = result.date.replaceAll(/[:.]/g, '-')
  const path = fileURLToPath(new URL(`surge-${instant}.json`, folder))
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
  return path
}
