import { compare } from './compare.ts'
import { markdownTable, reportOf, textTable, writeInto } from './harness/report.ts'
import { runScenario, saveResult } from './harness/result.ts'
import { Workspace } from './harness/workspace.ts'
import { type Arguments, readArguments, UsageError, usage } from './options.ts'
import { findScenarios } from './scenarios/index.ts'
import { simulate } from './simulation/command.ts'
import { surge } from './surge/command.ts'

const document = new URL('../docs/benchmarks.md', import.meta.url)

/** Writes progress to standard error, so that the result can be piped. */
function log(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function measure(args: Arguments): Promise<void> {
  const { options, only, isWhole, intoDocument } = args
  const chosen = findScenarios(args.names)
  const workspace = new Workspace(log)
  const revision = workspace.install()
  let isMeasured = false
  for (const scenario of chosen) {
    const { name } = scenario
    const result = await workspace.with(name, { revision, options }, (bench) => {
      log(`${name}: preparing`)
      return runScenario(scenario, bench, only, (line) => log(`${name} ${line}`))
    })
    // A family may have scenarios without a chosen subject.
    if (result.subjects.length === 0) continue
    isMeasured = true
    log(`raw values: ${saveResult(isWhole ? name : `${name}-partial`, result)}`)
    process.stdout.write(`\n${reportOf(result, textTable)}\n`)
    if (intoDocument) writeInto(document, name, reportOf(result, markdownTable))
  }
  if (!isMeasured) throw new Error(`No subject has "${only}" in its name.`)
}

async function run(args: Arguments): Promise<void> {
  const [command = '', ...names] = args.names
  if (command === 'compare') {
    if (!(await compare({ ...args, names }, log))) process.exitCode = 1
  } else if (command === 'simulate') simulate(args)
  else if (command === 'surge') await surge({ ...args, names }, log)
  else await measure(args)
}

try {
  await run(readArguments(process.argv.slice(2)))
} catch (error) {
  log(error instanceof Error ? error.message : String(error))
  const { code = '' } = error as NodeJS.ErrnoException
  const isUsage = error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS')
  if (isUsage) log(`\n${usage}`)
  process.exitCode = isUsage ? 2 : 1
}
// All child processes end with this process.
process.exit()
