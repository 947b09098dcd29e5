import { formatNumber, metricNames, metricOf } from './harness/metrics.ts'
import { provenanceLine, type Table, textTable } from './harness/report.ts'
import { benchFor, describeRun, runRounds, type Series, saveResult } from './harness/result.ts'
import type { Bench, Scenario, Subject } from './harness/scenario.ts'
import { ratioOf } from './harness/statistics.ts'
import { type Log, Workspace } from './harness/workspace.ts'
import { type Arguments, UsageError } from './options.ts'
import { findScenarios } from './scenarios/index.ts'

/** Every path of a request, and memory. */
const defaultScenarios = ['verify', 'memory', 'login', 'refresh']

/** @returns whether all measurements succeeded and no figure is a regression */
export async function compare(args: Arguments, log: Log): Promise<boolean> {
  const { options, tolerance, only } = args
  const [revisions = '', ...names] = args.names
  const [baseName = '', headName] = revisions.split('..')
  if (baseName === '') throw new UsageError('Name a revision.')
  if (options.rounds < 2) throw new UsageError('Take two rounds or more: one round has no spread.')
  const scenarios = findScenarios(names.length === 0 ? defaultScenarios : names)
  const workspace = new Workspace(log)
  const sides = {
    base: { revision: workspace.install(baseName), options },
    head: { revision: workspace.install(headName), options },
  }
  const { cores } = workspace
  const provenance = describeRun({ ...sides.head, cores })
  const pairs: Pair[] = []
  let isWhole = true
  for (const scenario of scenarios) {
    try {
      const measured = await workspace.with(`${scenario.name}-base`, sides.base, (base) =>
        workspace.with(`${scenario.name}-head`, sides.head, (head) =>
          measurePairs(scenario, { base, head }, only, log),
        ),
      )
      pairs.push(...measured)
    } catch (error) {
      // The results of other scenarios took minutes and remain valid.
      log(`${scenario.name} FAILED: ${error instanceof Error ? error.message : error}`)
      isWhole = false
    }
  }
  if (pairs.length === 0) throw new Error('Nothing was measured.')
  const rows = pairs.flatMap((pair) => rowsOf(pair, tolerance))
  const { base, head } = sides
  const result = { ...provenance, base: base.revision, head: head.revision, pairs, rows }
  log(`raw values: ${saveResult('compare', result)}`)
  const heading = [
    `${head.revision.name} compared with ${base.revision.name}. ${provenanceLine(provenance)}`,
    `A ratio is a geometric mean with a paired t-interval. A regression is worse than ${100 * tolerance} % over the whole interval.`,
  ].join('\n')
  process.stdout.write(`\n${heading}\n\n${textTable(compareTable(rows))}\n`)
  return isWhole && rows.every(({ isRegression }) => !isRegression)
}

/** The values of one subject at both revisions, one for each round. */
export interface Pair {
  readonly scenario: string
  readonly subject: string
  readonly base: Series['readings']
  readonly head: Series['readings']
}

/** Measures the two sides of a subject one after the other, in alternating order. */
async function measurePairs(
  scenario: Scenario,
  benches: Readonly<Record<'base' | 'head', Bench>>,
  only: string,
  log: Log,
): Promise<Pair[]> {
  const subjectsOf = async (side: 'base' | 'head') => {
    const all = await scenario.ours(benchFor(scenario, benches[side]))
    return all.filter(({ name }) => name.includes(only))
  }
  const [base, head] = [await subjectsOf('base'), await subjectsOf('head')]
  const onSide = (side: 'base' | 'head', subject: Subject) => {
    return { ...subject, name: `${subject.name}, ${side}` }
  }
  const series = await runRounds(
    base.flatMap((subject, n) => [onSide('base', subject), onSide('head', head[n] as Subject)]),
    benches.head.options.rounds,
    (line) => log(`${scenario.name} ${line}`),
  )
  const readingsOf = (n: number) => series[n]?.readings ?? []
  return base.map(({ name }, n) => ({
    scenario: scenario.name,
    subject: name,
    base: readingsOf(2 * n),
    head: readingsOf(2 * n + 1),
  }))
}

/** @returns a row for each metric that both sides of a subject have */
export function rowsOf({ scenario, subject, base, head }: Pair, tolerance: number) {
  return metricNames.flatMap((metric) => {
    const [own, other] = [head, base].map((readings) =>
      readings.flatMap((one) => one[metric] ?? []),
    )
    const { better, isByClock = false } = metricOf(metric)
    if (!own?.length || own.length !== other?.length || better === null) return []
    const ratio = ratioOf(own, other)
    const isWorse = better === 'more' ? ratio.high < 1 - tolerance : ratio.low > 1 + tolerance
    return [{ scenario, subject, metric, ratio, isRegression: isWorse && !isByClock }]
  })
}

function compareTable(rows: ReturnType<typeof rowsOf>): Table {
  return {
    head: ['scenario', 'subject', 'metric', 'ratio', '95 % interval', ''],
    rows: rows.map(({ scenario, subject, metric, ratio, isRegression }) => [
      scenario,
      subject,
      metricOf(metric).label,
      formatNumber(ratio.value, 3),
      `${formatNumber(ratio.low, 3)} – ${formatNumber(ratio.high, 3)}`,
      isRegression ? 'REGRESSION' : '',
    ]),
  }
}
