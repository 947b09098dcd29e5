import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Arguments, readArguments, usage } from './arguments.ts'
import { build } from './harness/built.ts'
import { chooseCores } from './harness/cores.ts'
import { insertReport } from './harness/document.ts'
import { markdownReport, readingsLine, textReport } from './harness/report.ts'
import { type Result, runScenario, saveResult } from './harness/result.ts'
import type { Bench, BenchOptions, Scenario } from './harness/scenario.ts'
import { report } from './report/command.ts'
import { readScaleArguments } from './scale/arguments.ts'
import { runScaleCommand } from './scale/command.ts'
import { readSurgeArguments, runSurgeCommand } from './surge/command.ts'

/** A surge has sizes of its own. */
const noOptions: BenchOptions = { rounds: 1, duration_s: 0, warmup_s: 0, connections: 0 }
const document = new URL('../../docs/benchmarks.md', import.meta.url)

/** Progress goes to standard error, so that the result can be piped on. */
function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

function run(scenario: Scenario, bench: Bench): Promise<Result> {
  const { name } = scenario
  tell(`${name}: preparing`)
  return runScenario(scenario, bench, (round, subject, readings) =>
    tell(`${name} ${round}/${bench.options.rounds} ${subject}: ${readingsLine(readings)}`),
  )
}

function publish(result: Result, { asJson, intoDocument }: Arguments): void {
  tell(`raw values: ${saveResult(result)}`)
  process.stdout.write(
    asJson ? `${JSON.stringify(result, null, 2)}\n` : `\n${textReport(result)}\n`,
  )
  if (intoDocument) {
    const text = readFileSync(document, 'utf8')
    writeFileSync(document, insertReport(text, result.scenario, markdownReport(result)))
  }
}

/** A folder for data, which goes when this process does, however it ends. */
function makeScratch(): string {
  const scratch = mkdtempSync(join(tmpdir(), 'gatepass-bench-'))
  // Postgres may have to run as another user, and its folder is in here.
  chmodSync(scratch, 0o711)
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
  return scratch
}

/** What measurements are made with; each has a folder of its own, and ends what it has begun. */
function makeBenches(options: BenchOptions) {
  const cores = chooseCores()
  if ('unpinned' in cores) tell(`Server and load are not pinned to cores: ${cores.unpinned}.`)
  const root = makeScratch()
  const tree = join(root, 'built')
  mkdirSync(tree)
  build(tree)
  return async (name: string, work: (bench: Bench) => Promise<void>): Promise<void> => {
    const scratch = join(root, name)
    mkdirSync(scratch)
    const ends: (() => Promise<void>)[] = []
    const defer: Bench['defer'] = (end) => void ends.unshift(end)
    try {
      await work({ options, cores: 'unpinned' in cores ? null : cores, scratch, defer })
    } finally {
      for (const end of ends) await end()
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}

async function main(given: Arguments): Promise<void> {
  const withBench = makeBenches(given.options)
  for (const scenario of given.chosen) {
    await withBench(scenario.name, async (bench) => publish(await run(scenario, bench), given))
  }
}

/** What is no scenario, by its name. */
const commands = new Map<string, (args: readonly string[]) => void | Promise<void>>([
  ['report', (args) => report(args, tell)],
  [
    'scale',
    (args) => {
      const scale = readScaleArguments(args)
      return makeBenches(scale.options)('scale', (bench) => runScaleCommand(scale, bench, tell))
    },
  ],
  [
    'surge',
    (args) => {
      const surge = readSurgeArguments(args)
      return makeBenches(noOptions)('surge', (bench) => runSurgeCommand(surge, bench, tell))
    },
  ],
])

let given: Arguments | null = null
const [name = '', ...rest] = process.argv.slice(2)
const command = commands.get(name)
try {
  if (command !== undefined) {
    await command(rest)
  } else {
    given = readArguments([name, ...rest].filter(Boolean))
    await main(given)
  }
} catch (error) {
  tell(error instanceof Error ? error.message : String(error))
  const isMisused = command === undefined && given === null
  if (isMisused) tell(`\n${usage}`)
  process.exitCode = isMisused ? 2 : 1
}
