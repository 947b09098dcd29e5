import { type Compared, isPresent } from '../harness/compare.ts'
import { type MetricName, metricNames, metrics } from '../harness/metrics.ts'
import { comparisonsTable, figuresTable, heading } from '../harness/report.ts'
import type { Result } from '../harness/result.ts'
import { summarize } from '../harness/statistics.ts'
import type { Table } from '../harness/table.ts'
import { type Bar, barChart } from './charts/bars.ts'
import { shortNumber } from './charts/scale.ts'
import { figure, htmlTable } from './html.ts'
import { type Content, type Markup, tag } from './markup.ts'

/** What a page says of another scenario: its tables, and bars against the limits. */

export function scenarioSection(result: Result): Markup {
  const { scenario } = result
  return tag('article', { id: `scenario-${scenario}` }, [
    tag('h3', {}, scenario),
    tag('p', { class: 'soft' }, heading(result)),
    subjectChart(result),
    limitCharts(result.comparisons),
    tag('details', {}, [
      tag('summary', {}, 'All figures'),
      tableOf('Medians over the rounds', figuresTable(result)),
      result.comparisons.length === 0
        ? null
        : tableOf('Beside their limits', comparisonsTable(result)),
    ]),
  ])
}

function tableOf(caption: string, { head, rows }: Table): Markup {
  return htmlTable({ caption, head, rows })
}

/** By processor time where there is that: what else the machine did is not in it. */
const byPreference: readonly MetricName[] = [
  'per_core_second',
  'per_second',
  ...metricNames.filter((name) => metrics[name].isMain),
]

/** All subjects beside one another, by what they were measured for. */
function subjectChart({ subjects }: Result): Content {
  const readingsOf = (name: MetricName) =>
    subjects.flatMap(({ subject, readings }) => {
      const values = readings.map((one) => one[name]).filter(isPresent)
      return values.length === 0 ? [] : [{ subject, ...summarize(values) }]
    })
  const metric = byPreference.find((name) => readingsOf(name).length > 1)
  if (metric === undefined) return null
  const { label } = metrics[metric]
  const bars = readingsOf(metric).map(({ subject, median: value, min, max }): Bar => {
    const className = /^gatepass\b/i.test(subject) ? 'ours' : 'other'
    return { label: subject, value, min, max, className }
  })
  return figure(`All that was measured: ${label}`, barChart(label, bars, shortNumber))
}

/** One chart for each unit: shares of a limit together, and each metric by itself. */
function limitCharts(comparisons: readonly Compared[]): Content {
  const held = comparisons.filter(({ target }) => target !== undefined)
  const groups = Map.groupBy(held, ({ metric, limit }) =>
    limit === undefined ? metrics[metric].label : 'share of the limit',
  )
  return [...groups].map(([unit, group]) =>
    figure(`Against the targets: ${unit}`, barChart(unit, group.map(barOf), shortNumber), [
      { className: 'good', label: 'met' },
      { className: 'failed', label: 'missed' },
      { className: 'other', label: 'unclear' },
      { className: 'target', label: 'target' },
    ]),
  )
}

function barOf({ subject, metric, limit, value, target, verdict }: Compared): Bar {
  const { label } = metrics[metric]
  const at =
    target === undefined ? {} : { limit: 'atLeast' in target ? target.atLeast : target.under }
  const beside = limit === undefined ? subject : `${subject} / ${limit}, ${label}`
  const className = verdict === 'met' ? 'good' : verdict === 'missed' ? 'failed' : 'other'
  return { label: beside, value: value.median, min: value.min, max: value.max, className, ...at }
}
