import type { Compared } from '../harness/compare.ts'
import { metrics } from '../harness/metrics.ts'
import { comparisonsTable, figuresTable, heading } from '../harness/report.ts'
import type { Result } from '../harness/result.ts'
import type { Table } from '../harness/table.ts'
import { type Bar, barChart } from './charts/bars.ts'
import { shortNumber } from './charts/scale.ts'
import { figure, htmlTable } from './html.ts'
import { type Content, type Markup, tag } from './markup.ts'

/** What a page says of another scenario: its tables, and bars against the limits. */

export function scenarioSection(result: Result): Markup {
  const { scenario } = result
  return tag('article', { id: `scenario-${scenario}` }, [
    tag('h3', {}, `${scenario}: ${result.title}`),
    tag('p', { class: 'soft' }, heading(result)),
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
