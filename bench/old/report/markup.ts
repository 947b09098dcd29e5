/**
 * HTML and SVG as values. A text among the content is escaped; only what was made here goes in as it
 * is. So nothing that a result file says can become an element.
 */

export class Markup {
  readonly text: string

  private constructor(text: string) {
    this.text = text
  }

  /** Text that is markup already: ours, never that of a file. */
  static of(text: string): Markup {
    return new Markup(text)
  }
}

export type Content = Markup | string | number | null | readonly Content[]

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

/** Those of HTML that have no end tag. */
const voids = new Set(['meta', 'link', 'br', 'hr', 'col'])

export function tag(name: string, attributes: Attributes, ...content: readonly Content[]): Markup {
  const start = `<${name}${attributesOf(attributes)}>`
  return Markup.of(voids.has(name) ? start : `${start}${textOf(content)}</${name}>`)
}

export function textOf(content: Content): string {
  if (content === null) return ''
  if (content instanceof Markup) return content.text
  if (typeof content === 'object') return content.map(textOf).join('')
  return escapeText(String(content))
}

export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

/** JSON inside a `script` element: no text in it can end that. */
export function jsonForScript(value: unknown): Markup {
  return Markup.of(JSON.stringify(value).replaceAll('<', '\\u003c'))
}

function attributesOf(attributes: Attributes): string {
  return Object.entries(attributes)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]) => (value === true ? ` ${name}` : ` ${name}="${attributeText(value)}"`))
    .join('')
}

/** Coordinates need no more than a tenth of a pixel. */
function attributeText(value: string | number | boolean | undefined): string {
  if (typeof value === 'number') return String(Math.round(value * 10) / 10)
  return escapeText(String(value))
}
