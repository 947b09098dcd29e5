import { parseArgs } from 'node:util'
import type { BenchOptions } from './harness/scenario.ts'
import { scenarios } from './scenarios/index.ts'

const full = { rounds: 5, duration_s: 8, warmup_s: 3, connections: 64, maxSessions: 1e6 }
const quick = { rounds: 2, duration_s: 2, warmup_s: 1, connections: 64, maxSessions: 1e4 }

export const usage = `npm run bench -- <scenario>... [options]
npm run bench -- compare <base>[..<head>] [<scenario>...] [options]
npm run bench -- simulate [options]
npm run bench -- surge [<system>...] [options]

Scenarios
${scenarios.map(({ name, title }) => `  ${name.padEnd(22)} ${title}`).join('\n')}
  The name of a family selects all of its scenarios: verify, scale, start.

compare    Compares two revisions of Gatepass, with the benchmark of this working tree. The default head is
           the working tree. Exits with status 1 if a figure of the head is worse than the tolerance.
simulate   Computes the needs of numbers of devices, from the newest results of scale and login.
surge      Runs a shop under ten times its load, while replicas die, the session store fails over and keys
           rotate. Systems: gatepass, gatepass-postgres, gatepass-sqlite, gatepass-plain, sticky-sessions,
           redis-sessions, fastify-jwt.

Options
  --only <text>      measure only subjects with this text in their name; for surge: flood
  --rounds <n>       measurements of each subject (${full.rounds})
  --duration <s>     processor time of the server in a measurement (${full.duration_s})
  --connections <n>  concurrent connections (${full.connections}); login always has 8
  --sessions <n>     most sessions of scale (${full.maxSessions}); 1e7 takes 6 GB in each store
  --tolerance <%>    for compare (5)
  --quick            short rounds, for a check and not for results
  --document         also write the result into the documents
`

const text = { type: 'string' } as const
const numbers = { rounds: text, duration: text, connections: text, sessions: text, tolerance: text }

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export type Arguments = ReturnType<typeof readArguments>

/** @throws UsageError, or what `parseArgs` throws */
export function readArguments(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      ...numbers,
      quick: { type: 'boolean', default: false },
      document: { type: 'boolean', default: false },
    },
  })
  const defaults = values.quick ? quick : full
  if (positionals.length === 0) throw new UsageError('Name a scenario or a command.')
  const isWhole = !values.quick && values.only === ''
  if (values.document && !isWhole)
    throw new UsageError('A document takes the result of a whole run only.')
  const { rounds, duration, connections, sessions, tolerance } = values
  return {
    /** Names of scenarios, or a command and its arguments. */
    names: positionals as readonly string[],
    options: {
      rounds: positiveInteger(rounds, defaults.rounds),
      duration_s: positiveInteger(duration, defaults.duration_s),
      warmup_s: defaults.warmup_s,
      connections: positiveInteger(connections, defaults.connections),
      maxSessions: positiveInteger(sessions, defaults.maxSessions),
    } satisfies BenchOptions,
    only: values.only,
    tolerance: positiveInteger(tolerance, 5) / 100,
    isQuick: values.quick,
    /** Whether all subjects are measured, at full length. */
    isWhole,
    intoDocument: values.document,
  }
}

/** Reads a number, also in the form `1e7`. */
function positiveInteger(text: string | undefined, defaultValue: number): number {
  if (text === undefined) return defaultValue
  if (!/^[1-9]\d*(e\d)?$/.test(text)) {
    throw new UsageError(`${text} is not a positive whole number.`)
  }
  return Number(text)
}
