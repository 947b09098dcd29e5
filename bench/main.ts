import { parseArgs } from 'node:util'
import { compare, readCompareArguments } from './compare.ts'
import { markdownTable, readingsLine, reportOf, textTable, writeInto } from './harness/report.ts'
import { runScenario, saveResult } from './harness/result.ts'
import { Workspace } from './harness/workspace.ts'
import { benchOptionFlags, orUsage, readBenchOptions, UsageError, usage } from './options.ts'
import { findScenarios } from './scenarios/index.ts'

const document = new URL('../docs/benchmarks.md', import.meta.url)

/** Progress goes to standard error, so that the result can be piped on. */
function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function measure(args: readonly string[]): Promise<boolean> {
  const { chosen, values, options } = orUsage(usage, () => readArguments(args))
  const workspace = new Workspace(tell)
  const revision = workspace.install()
  for (const scenario of chosen) {
    const { name } = scenario
    const result = await workspace.with(name, { revision, options }, (bench) => {
      tell(`${name}: preparing`)
      return runScenario(scenario, bench, values.only, (round, subject, readings) =>
        tell(`${name} ${round}/${options.rounds} ${subject}: ${readingsLine(readings)}`),
      )
    })
    tell(`raw values: ${saveResult(name, result)}`)
    const text = values.json ? JSON.stringify(result, null, 2) : reportOf(result, textTable)
    process.stdout.write(`\n${text}\n`)
    if (values.document) writeInto(document, name, reportOf(result, markdownTable))
  }
  return true
}

function readArguments(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...benchOptionFlags,
      only: { type: 'string', default: '' },
      document: { type: 'boolean', default: false },
    },
  })
  if (positionals.length === 0) throw new Error('Name a scenario.')
  if (values.document && values.only !== '') throw new Error('A document takes whole results.')
  const chosen = [...new Set(positionals.flatMap(findScenarios))]
  return { chosen, values, options: readBenchOptions(values) }
}

async function runOld(): Promise<boolean> {
  // It reads the arguments of this process itself.
  await import('./old/main.ts')
  return process.exitCode === undefined
}

/** What is no scenario, by its name. Each says whether all was well. */
const commands: Readonly<Record<string, (args: readonly string[]) => Promise<boolean>>> = {
  compare: (args) => compare(readCompareArguments(args), tell),
  report: runOld,
  scale: runOld,
  surge: runOld,
}

const [name = '', ...rest] = process.argv.slice(2)
try {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  const isWell = await (command?.(rest) ?? measure(process.argv.slice(2)))
  if (!isWell) process.exitCode = 1
} catch (error) {
  tell(error instanceof Error ? error.message : String(error))
  process.exitCode = error instanceof UsageError ? 2 : 1
}
