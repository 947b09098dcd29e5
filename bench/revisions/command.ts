import { hasCachegrind } from '../harness/cachegrind.ts'
import { countsInstructions } from '../harness/instructions.ts'
import { describeMachine } from '../harness/machine.ts'
import type { Bench } from '../harness/scenario.ts'
import { textTable } from '../harness/table.ts'
import type { CompareArguments } from './arguments.ts'
import { revisionTable, rowsOf } from './comparison.ts'
import { type Pair, runPairs } from './run.ts'
import { copyTrees } from './trees.ts'

/** What `npm run bench -- compare` does. */
export async function runCompareCommand(
  given: CompareArguments,
  bench: Bench,
  tell: (line: string) => void,
): Promise<void> {
  const machine = describeMachine(bench)
  const { usesCachegrind } = given
  if (usesCachegrind && !hasCachegrind()) throw new Error('Valgrind is not installed.')
  const countsByPerf = !usesCachegrind && countsInstructions()
  const { commit, hasOtherPackages, ...trees } = copyTrees(given.revision, bench.scratch)
  if (hasOtherPackages) tell('Other packages than the revision asks for: both run on those here.')
  const counting = { ...bench, options: { ...given.options, countsInstructions: countsByPerf } }
  const context = { bench: counting, usesCachegrind, tell }
  const pairs: Pair[] = []
  for (const scenario of given.scenarios) {
    pairs.push(...(await runPairs(scenario, trees, given.subjects, context)))
  }
  const rows = pairs.flatMap((pair) => rowsOf(pair, given.tolerance_percent / 100))
  if (given.asJson) {
    const { options } = counting
    const result = { revision: given.revision, commit, node: process.version, machine, options }
    process.stdout.write(`${JSON.stringify({ ...result, pairs, rows }, null, 2)}\n`)
  } else {
    process.stdout.write(
      `\n${headingOf(given, commit, countsByPerf)}\n\n${textTable(revisionTable(rows))}\n`,
    )
  }
  if (rows.some(({ isRegression }) => isRegression)) process.exitCode = 1
}

function headingOf(given: CompareArguments, commit: string, countsByPerf: boolean): string {
  const { rounds, duration_s, connections } = given.options
  return [
    `What is here beside ${given.revision} (${commit.slice(0, 8)}), ${rounds} rounds of ${duration_s} s,`,
    `${connections} connections. Ratios are geometric means over the rounds, with a paired t-interval`,
    `of 95 % on their logarithms; a regression is one that is wholly beyond ${given.tolerance_percent} %.`,
    `Instruction counts: ${counterOf(given, countsByPerf)}.`,
  ].join('\n')
}

function counterOf({ usesCachegrind }: CompareArguments, countsByPerf: boolean): string {
  if (usesCachegrind) return 'of loops, by Cachegrind'
  if (countsByPerf) return 'in user space, by perf'
  return 'this machine lets perf count none; --cachegrind simulates a processor that does'
}
