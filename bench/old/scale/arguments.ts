import { parseArgs } from 'node:util'
import { benchOptionFlags, positiveInteger, readBenchOptions } from '../arguments.ts'
import type { BenchOptions } from '../harness/scenario.ts'
import type { Sweep } from './sweep.ts'
import { sweeps } from './sweeps/index.ts'

const rounds = '3'
const duration_s = '3'
/** How far each kind of size goes. */
const sizesMax = { sessions: 1e6, replicas: 8, tokens: 1e6, revocations: 1e5, accounts: 1e5 }
const quickSizesMax: typeof sizesMax = {
  sessions: 1e4,
  replicas: 2,
  tokens: 1e4,
  revocations: 1e3,
  accounts: 1e5,
}

export const scaleUsage = `npm run bench -- scale [options]

  What becomes of the costs as there is more of everything, and what a billion devices would need.

  --sessions <n>   how many sessions at most (${sizesMax.sessions}); 1e7 takes 6 GB of memory or disk in each store
  --only <sweep>   ${sweeps.map(({ name }) => name).join(', ')}; may be given several times
  --into <file>    put the sweeps into the results of an earlier run, in place of the same ones there
  --simulate       measure nothing more, and report what --into has
  --rounds <n>     how often each size is measured (${rounds})
  --duration <s>   how long one measurement lasts (${duration_s})
  --quick          small sizes and short rounds: to see that all works, not to quote
  --json           print the result as JSON instead of tables
  --document       put the tables into docs/benchmarks.md and docs/scaling.md as well
`

export interface ScaleArguments {
  readonly chosen: readonly Sweep[]
  readonly options: BenchOptions
  sizeMax(sweep: Sweep): number
  /** The results to go on with. */
  readonly into: string | null
  readonly asJson: boolean
  readonly intoDocuments: boolean
}

/** @throws with the reason, when the arguments are not acceptable */
export function readScaleArguments(args: readonly string[]): ScaleArguments {
  try {
    return readOptions(args)
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n\n${scaleUsage}`)
  }
}

function readOptions(args: readonly string[]): ScaleArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...benchOptionFlags,
      sessions: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      into: { type: 'string' },
      simulate: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      document: { type: 'boolean', default: false },
    },
  })
  const { only, quick, simulate } = values
  if (simulate && values.into === undefined) throw new Error('Name the results with --into.')
  const unknown = only.find((name) => !sweeps.some((one) => one.name === name))
  if (unknown !== undefined) throw new Error(`There is no sweep ${unknown}.`)
  const byDefault = quick ? quickSizesMax : sizesMax
  const sessions = wholeNumber(values.sessions, byDefault.sessions)
  const most = new Map<string, number>(Object.entries({ ...byDefault, sessions }))
  const own = quick ? {} : { rounds, duration: duration_s }
  return {
    chosen: sweeps.filter(({ name }) => !simulate && (only.length === 0 || only.includes(name))),
    options: readBenchOptions({ ...own, ...values }),
    sizeMax: ({ of }) => most.get(of) ?? Number.POSITIVE_INFINITY,
    into: values.into ?? null,
    asJson: values.json,
    intoDocuments: values.document,
  }
}

/** Also of the form `1e7`. */
function wholeNumber(text: string | undefined, byDefault: number): number {
  const written = /^([1-9])e([1-9])$/.exec(text ?? '')
  return written === null ? positiveInteger(text, byDefault) : Number(text)
}
