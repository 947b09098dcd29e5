import type { ScaleResult, SweepResult } from '../scale/result.ts'
import { costsTable, figuresTable, needsTable } from '../scale/tables.ts'
import { type Bar, barChart } from './charts/bars.ts'
import { shortNumber } from './charts/scale.ts'
import { figure, htmlTable, section } from './html.ts'
import { type Content, type Markup, tag } from './markup.ts'

/** What a page says of how costs grow with the work, and of what that comes to at a billion devices. */

export function scaleSection({ sweeps, simulation, date, node }: ScaleResult): Markup {
  return section(
    'scale',
    'Costs as work grows',
    tag('p', { class: 'soft' }, `Measured up to ${date.slice(0, 10)}, on Node ${node}.`),
    growthChart(sweeps),
    sweeps.map(sweepPart),
    simulation === null
      ? null
      : [
          htmlTable({
            caption: 'What the simulation stands on',
            ...costsTable(simulation),
            isText: true,
          }),
          htmlTable({ caption: 'What devices need, simulated', ...needsTable(simulation) }),
        ],
  )
}

/** All slopes together: what stays below its limit takes no more than it may. */
function growthChart(sweeps: readonly SweepResult[]): Content {
  const bars = sweeps.flatMap(({ name, columns, growth }) =>
    growth.flatMap(({ key, tenfold }): Bar[] => {
      const column = columns.find((one) => one.key === key)
      if (column?.tenfoldUnder === undefined) return []
      const className = tenfold < column.tenfoldUnder ? 'good' : 'failed'
      return [
        {
          label: `${name}: ${column.label}`,
          value: tenfold,
          limit: column.tenfoldUnder,
          className,
        },
      ]
    }),
  )
  if (bars.length === 0) return null
  const title = 'What ten times as many multiply a cost by'
  return figure(title, barChart(title, bars, shortNumber), [
    { className: 'good', label: 'met' },
    { className: 'failed', label: 'missed' },
    { className: 'target', label: 'target' },
  ])
}

function sweepPart(sweep: SweepResult): Markup {
  const { name, title, leftOut } = sweep
  return tag('article', { id: `scale-${name}` }, [
    htmlTable({ caption: `${name}: ${title}`, ...figuresTable(sweep) }),
    leftOut.length === 0 ? null : tag('p', { class: 'soft' }, `Left out: ${leftOut.join('; ')}.`),
  ])
}
