import type { BenchOptions } from './harness/scenario.ts'
import { scenarios } from './scenarios/index.ts'

const full = { rounds: 5, duration_s: 8, warmup_s: 3, connections: 64 }
const quick = { rounds: 2, duration_s: 2, warmup_s: 1, connections: 64 }

export const usage = `npm run bench -- <scenario>... [options]
npm run bench -- compare <revision>[..<revision>] [<scenario>...] [options]
npm run bench -- scale [options]
npm run bench -- surge [options]

Scenarios
${scenarios.map(({ name, title }) => `  ${name.padEnd(22)} ${title}`).join('\n')}

Options
  --only <text>      only subjects with this in their name
  --rounds <n>       how often each subject is measured (${full.rounds})
  --duration <s>     how long one measurement lasts (${full.duration_s})
  --connections <n>  how many connections ask at once (${full.connections})
  --quick            ${quick.rounds} rounds of ${quick.duration_s} s: to see that all works, not to quote
  --json             print the result as JSON
  --document         put the tables into docs/benchmarks.md as well
`

/** For `parseArgs`: how often, how long and by how many connections anything is measured. */
export const benchOptionFlags = {
  rounds: { type: 'string' },
  duration: { type: 'string' },
  connections: { type: 'string' },
  quick: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
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

export function positiveInteger(text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`${text} is not a positive whole number.`)
  return Number(text)
}

/** Wrong arguments; the usage is printed with it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Reads arguments with `read`, and adds how they are used to what is wrong with them. */
export function orUsage<T>(usageText: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${usageText}`)
  }
}
