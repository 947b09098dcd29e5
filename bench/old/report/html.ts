import { type Content, type Markup, tag } from './markup.ts'

/** The parts that pages are made of. */

export interface HtmlTable {
  readonly caption: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly Content[])[]
  /** Whether the cells are texts, and not figures. */
  readonly isText?: boolean
}

/** Figures to the right, and what a row is about as its heading. Wide ones scroll by themselves. */
export function htmlTable({ caption, head, rows, isText = false }: HtmlTable): Markup {
  const headings = head.map((cell) => tag('th', { scope: 'col' }, cell))
  const lines = rows.map(([first = null, ...cells]) =>
    tag(
      'tr',
      {},
      tag('th', { scope: 'row' }, first),
      cells.map((cell) => tag('td', {}, cell)),
    ),
  )
  return scroller(
    caption,
    tag(
      'table',
      isText ? { class: 'texts' } : {},
      tag('caption', {}, caption),
      tag('thead', {}, tag('tr', {}, headings)),
      tag('tbody', {}, lines),
    ),
  )
}

/** What is wider than a narrow screen, and can be reached by the keyboard all the same. */
export function scroller(label: string, ...content: readonly Content[]): Markup {
  return tag(
    'div',
    { class: 'scroller', role: 'region', 'aria-label': label, tabindex: 0 },
    content,
  )
}

export interface Key {
  readonly className: string
  readonly label: string
}

/** A chart with its heading and what its colours mean. */
export function figure(heading: string, chart: Markup, keys: readonly Key[] = []): Markup {
  const legend = keys.map(({ className, label }) =>
    tag('span', { class: 'key' }, tag('span', { class: `swatch ${className}` }), label),
  )
  return tag(
    'figure',
    {},
    tag('figcaption', {}, tag('span', { class: 'figure-title' }, heading), legend),
    scroller(heading, chart),
  )
}

export function section(id: string, heading: string, ...content: readonly Content[]): Markup {
  return tag('section', { id, 'aria-labelledby': `${id}-heading` }, [
    tag('h2', { id: `${id}-heading` }, heading),
    ...content,
  ])
}
