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
function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function measure(given: Arguments): Promise<void> {
  const { options, only, isWhole, intoDocument } = given
  const chosen = findScenarios(given.names)
  const workspace = new Workspace(tell)
  const revision = workspace.install()
  let isMeasured = false
  for (const scenario of chosen) {
    const { name } = scenario
    const result = await workspace.with(name, { revision, options }, (bench) => {
      tell(`${name}: preparing`)
      return runScenario(scenario, bench, only, (line) => tell(`${name} ${line}`))
    })
    // A family may have scenarios without a chosen subject.
    if (result.subjects.length === 0) continue
    isMeasured = true
    tell(`raw values: ${saveResult(isWhole ? name : `${name}-partial`, result)}`)
    process.stdout.write(`\n${reportOf(result, textTable)}\n`)
    if (intoDocument) writeInto(document, name, reportOf(result, markdownTable))
  }
  if (!isMeasured) throw new Error(`No subject has "${only}" in its name.`)
}

async function run(given: Arguments): Promise<void> {
  const [command = '', ...names] = given.names
  if (command === 'compare') {
    const isWell = await compare({ ...given, names }, tell)
    if (!isWell) process.exitCode = 1
  } else if (command === 'simulate') simulate(given)
  else if (command === 'surge') await surge({ ...given, names }, tell)
  else await measure(given)
}

try {
  await run(readArguments(process.argv.slice(2)))
} catch (error) {
  tell(error instanceof Error ? error.message : String(error))
  const { code = '' } = error as NodeJS.ErrnoException
  const isUsage = error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS')
  if (isUsage) tell(`\n${usage}`)
  process.exitCode = isUsage ? 2 : 1
}
// All child processes end with this process.
process.exit()
