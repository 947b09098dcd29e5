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
  A part of a name is all that begin with it: verify, scale.

compare    Two revisions of Gatepass, by the benchmark that is here; the head is the working tree unless
           it is named. Ends with status 1 when a figure of the head is worse by more than the tolerance.
simulate   What numbers of devices need, by the newest results of scale and login.
surge      A shop under ten times the load, while replicas die, the store of the sessions fails over and
           keys rotate: gatepass, gatepass-postgres, gatepass-sqlite, gatepass-plain, sticky-sessions,
           redis-sessions, fastify-jwt.

Options
  --only <text>      only subjects with this in their name; with surge, "flood" for the flood alone
  --rounds <n>       how often each subject is measured (${full.rounds})
  --duration <s>     how long a server works in one measurement (${full.duration_s})
  --connections <n>  how many connections ask at once (${full.connections})
  --sessions <n>     how many sessions scale goes up to (${full.maxSessions}); 1e7 takes 6 GB in each store
  --tolerance <%>    of compare (5)
  --quick            short, to see that all works and not to quote
  --document         put the result into the documents as well
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
  const base = values.quick ? quick : full
  if (positionals.length === 0) throw new UsageError('Name a scenario or a command.')
  const isWhole = !values.quick && values.only === ''
  if (values.document && !isWhole) throw new UsageError('Only a whole result is for a document.')
  const { rounds, duration, connections, sessions, tolerance } = values
  return {
    /** The names of scenarios, or a command and its arguments. */
    names: positionals as readonly string[],
    options: {
      rounds: positiveInteger(rounds, base.rounds),
      duration_s: positiveInteger(duration, base.duration_s),
      warmup_s: base.warmup_s,
      connections: positiveInteger(connections, base.connections),
      maxSessions: positiveInteger(sessions, base.maxSessions),
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
function positiveInteger(text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault
  if (!/^[1-9]\d*(e\d)?$/.test(text)) {
    throw new UsageError(`${text} is not a positive whole number.`)
  }
  return Number(text)
}
