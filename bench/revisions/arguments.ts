import { parseArgs } from 'node:util'
import { benchOptionFlags, findScenarios, positiveInteger, readBenchOptions } from '../arguments.ts'
import type { BenchOptions } from '../harness/scenario.ts'

/** Quick, and between them what a request costs: a check, a look-up, a rotation, a signature. */
const byDefault = ['verify-loop', 'refresh']
const toleranceByDefault_percent = 5

export const compareUsage = `npm run bench -- compare <revision> [<scenario>...] [options]

  The sources as they are here and those of a revision, in turns, by the same benchmark: the one that
  is here. Ends with status 1 when one of ours is worse by more than the tolerance.

  <scenario>           by default ${byDefault.join(' and ')}
  --subject <name>     one subject of theirs; may be given several times. By default all
  --tolerance <%>      (${toleranceByDefault_percent})
  --cachegrind         count the instructions of loops by Valgrind as well: a minute for each subject,
                       and steadier than any time
  --json               print the result as JSON instead of a table
  --rounds, --duration, --connections, --quick   as for any scenario
`

export interface CompareArguments {
  readonly revision: string
  readonly scenarios: readonly string[]
  /** Empty for all. */
  readonly subjects: readonly string[]
  readonly tolerance_percent: number
  readonly usesCachegrind: boolean
  readonly asJson: boolean
  readonly options: BenchOptions
}

/** @throws with the reason and the usage, when the arguments are not acceptable */
export function readCompareArguments(args: readonly string[]): CompareArguments {
  try {
    return read(args)
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n\n${compareUsage}`)
  }
}

function read(args: readonly string[]): CompareArguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...benchOptionFlags,
      subject: { type: 'string', multiple: true, default: [] },
      tolerance: { type: 'string' },
      cachegrind: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [revision, ...given] = positionals
  if (revision === undefined) throw new Error('Name a revision.')
  const options = readBenchOptions(values)
  if (options.rounds < 2) throw new Error('One round says nothing about chance: take two or more.')
  const names = given.length === 0 ? byDefault : given
  return {
    revision,
    scenarios: [...new Set(names.flatMap(findScenarios).map(({ name }) => name))],
    subjects: values.subject,
    tolerance_percent: positiveInteger(values.tolerance, toleranceByDefault_percent),
    usesCachegrind: values.cachegrind,
    asJson: values.json,
    options,
  }
}
