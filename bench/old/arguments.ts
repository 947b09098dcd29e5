import { parseArgs } from 'node:util'
import type { BenchOptions, Scenario } from './harness/scenario.ts'
import { scenarios } from './scenarios/index.ts'

const full = { rounds: 5, duration_s: 8, warmup_s: 3, connections: 64 }
const quick = { rounds: 2, duration_s: 2, warmup_s: 1, connections: 64 }

export const usage = `npm run bench -- <scenario>... [options]
npm run bench -- surge [options]
npm run bench -- scale [options]
npm run bench -- report [file] [--document]
npm run bench -- compare <revision> [<scenario>...] [options]

Scenarios
${scenarios.map(({ name, title }) => `  ${name.padEnd(22)} ${title}`).join('\n')}

Options
  --rounds <n>       how often each subject is measured (${full.rounds})
  --duration <s>     how long one measurement lasts (${full.duration_s})
  --connections <n>  how many connections ask at once (${full.connections})
  --quick            ${quick.rounds} rounds of ${quick.duration_s} s: to see that all works, not to quote
  --json             print the result as JSON instead of a table
  --document         put the table into docs/benchmarks.md as well
`

export interface Arguments {
  readonly chosen: readonly Scenario[]
  readonly options: BenchOptions
  readonly asJson: boolean
  readonly intoDocument: boolean
}

/** @throws with the reason, when the arguments are not acceptable */
export function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...benchOptionFlags,
      json: { type: 'boolean', default: false },
      document: { type: 'boolean', default: false },
    },
  })
  if (positionals.length === 0) throw new Error('Name a scenario.')
  return {
    chosen: [...new Set(positionals.flatMap(findScenarios))],
    options: readBenchOptions(values),
    asJson: values.json,
    intoDocument: values.document,
  }
}

/** For `parseArgs`: how often, how long and by how many connections anything is measured. */
export const benchOptionFlags = {
  rounds: { type: 'string' },
  duration: { type: 'string' },
  connections: { type: 'string' },
  quick: { type: 'boolean', default: false },
} as const

interface BenchOptionValues {
  readonly rounds?: string | undefined
  readonly duration?: string | undefined
  readonly connections?: string | undefined
  readonly quick: boolean
}

export function readBenchOptions(values: BenchOptionValues): BenchOptions {
  const base = values.quick ? quick : full
  return {
    rounds: positiveInteger(values.rounds, base.rounds),
    duration_s: positiveInteger(values.duration, base.duration_s),
    warmup_s: base.warmup_s,
    connections: positiveInteger(values.connections, base.connections),
  }
}

/** The one of this name, or all of a family: `peers` is every `peers-…`. */
export function findScenarios(name: string): Scenario[] {
  const exact = scenarios.filter((scenario) => scenario.name === name)
  const found =
    exact.length > 0 ? exact : scenarios.filter((one) => one.name.startsWith(`${name}-`))
  if (found.length === 0) throw new Error(`There is no scenario ${name}.`)
  return found
}

export function positiveInteger(text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`${text} is not a positive whole number.`)
  return Number(text)
}
