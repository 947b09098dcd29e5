/** Rules of prose for documents and comments. `npm run lint` applies them. */

export interface Passage {
  /** The line on which the passage begins, from 1. */
  readonly line: number
  readonly text: string
}

export interface Fault {
  readonly line: number
  readonly rule: string
  readonly text: string
}

const maxWords = 30

/** Rules that hold for each sentence. */
const sentenceRules: readonly { readonly rule: string; readonly pattern: RegExp }[] = [
  {
    rule: 'opens with an inverted clause',
    pattern: /^(Who|Whoever|Whom|What|Whatever|So many|So long)\b[^?]*$/,
  },
  {
    rule: 'tells history',
    pattern: /\b(no longer|any ?more|until now|up to now|formerly)\b/i,
  },
  {
    rule: 'uses a private word',
    pattern:
      /\b(judg(e|es|ed|ing|ements?|ments?)|whoever|vaults?|seal(s|ed|ing)?|upkeep|hopeless(ness)?|disturbances?|recipes?|drills?|news)\b/i,
  },
  {
    rule: 'uses a private phrase',
    pattern:
      /\b(kept from it|let go of|in doubt|hears? of|in vain|is away|(?<!you )are away|in the place of|that is none|found out|gets? told)\b/i,
  },
  {
    rule: 'makes the reader resolve a reference',
    pattern: /\b(as above|the former|the latter|ditto)\b/i,
  },
]

/** Finds what is wrong with a passage. */
export function faultsOf({ line, text }: Passage): Fault[] {
  return sentencesOf(text).flatMap((sentence) => {
    const broken = sentenceRules
      .filter(({ pattern }) => pattern.test(sentence))
      .map(({ rule }) => ({ line, rule, text: sentence }))
    const count = wordsOf(sentence).length
    if (count <= maxWords) return broken
    return [...broken, { line, rule: `has ${count} words (at most ${maxWords})`, text: sentence }]
  })
}

/** Splits a passage into sentences. */
export function sentencesOf(text: string): string[] {
  return text
    .split(/(?<=[.!?][)"'*_]*)\s+(?=[("'*_[]*[A-Z0-9])/)
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== '')
}

function wordsOf(sentence: string): string[] {
  return sentence.split(/[\s/–—]+/).filter((word) => /[\p{L}\p{N}]/u.test(word))
}

/** Collects lines into passages. */
class Passages {
  readonly all: Passage[] = []
  #line = 0
  #parts: string[] = []

  add(line: number, text: string): void {
    if (text === '') return
    if (this.#parts.length === 0) this.#line = line
    this.#parts.push(text)
  }

  finish(): void {
    const text = withoutMarks(this.#parts.join(' ')).trim()
    if (/\p{L}{2}/u.test(text)) this.all.push({ line: this.#line, text })
    this.#parts = []
  }
}

/**
 * Returns the paragraphs, list items and table cells of a Markdown document. Headings, code blocks,
 * HTML and the generated tables of benchmarks are left out. Code within a sentence becomes `X`.
 */
export function passagesOfMarkdown(markdown: string): Passage[] {
  const emptyLines = (text: string) => text.replace(/[^\n]/g, '')
  const prose = markdown
    .replace(/^( *)```.*?^\1```$/gms, emptyLines)
    .replace(/<!-- bench:.*?<!-- \/bench:.*?-->/gs, emptyLines)
    .replace(/<!--.*?-->/gs, emptyLines)
    .replace(/<[a-z/][^>\n]*>/g, '')
  const passages = new Passages()
  for (const [index, raw] of prose.split('\n').entries()) {
    const text = raw.trim()
    const begins = text === '' || /^(#|\||([-*]|\d+\.)\s)/.test(text)
    if (begins) passages.finish()
    if (text === '' || text.startsWith('#')) continue
    if (!text.startsWith('|')) passages.add(index + 1, text.replace(/^([-*]|\d+\.)\s+/, ''))
    else {
      for (const cell of text.split(/(?<!\\)\|/)) {
        passages.add(index + 1, cell)
        passages.finish()
      }
    }
  }
  passages.finish()
  return passages.all
}

/** Returns the comments of a TypeScript source. A tag or list item is a passage of its own. */
export function passagesOfSource(source: string): Passage[] {
  const passages = new Passages()
  let isBlock = false
  for (const [index, raw] of source.split('\n').entries()) {
    const text = raw.trim()
    const isLine = /^\/\/ (?!biome-ignore|@ts-)/.test(text)
    if (isLine && !isBlock) passages.add(index + 1, text.slice(3))
    else if (isBlock || text.startsWith('/*')) {
      if (!isBlock) passages.finish()
      isBlock = !text.includes('*/')
      const words = text.replace(/^\/?\*+\/?\s*|\s*\*\/.*$/g, '')
      if (words === '' || /^(@|- |\|)/.test(words)) passages.finish()
      if (!words.startsWith('|'))
        passages.add(index + 1, words.replace(/^-\s+|@(param|throws)\s+\S+\s+|@\w+\s+/g, ''))
      if (!isBlock) passages.finish()
    } else passages.finish()
  }
  passages.finish()
  return passages.all
}

/** Returns the texts for people in a source: strings of at least four words on one line. */
export function messagesOfSource(source: string): Passage[] {
  const code = source
    .replace(/\/\*.*?\*\//gs, (comment) => comment.replace(/[^\n]/g, ''))
    .replace(/^\s*\/\/.*$/gm, '')
  return code.split('\n').flatMap((raw, index) =>
    [...raw.matchAll(/'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`/g)].flatMap((found) => {
      const text = withoutMarks((found[1] ?? found[2] ?? '').replace(/\$\{[^}]*\}/g, 'X'))
      const words = text.match(/(^|\s)[A-Za-z][a-z'-]*(?=[\s.,;:]|$)/g) ?? []
      return words.length < 4 ? [] : [{ line: index + 1, text }]
    }),
  )
}

/** Removes the marks of Markdown, and replaces code by `X`. */
function withoutMarks(text: string): string {
  return text
    .replace(/!\[[^\]]*\]\([^)]*\)/g, '')
    .replace(/`[^`]*`/g, 'X')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/\{@link ([^}]*)\}/g, 'X')
    .replace(/https?:\/\/\S+/g, 'X')
    .replace(/[\w./-]+\.(ts|md|json|yaml|conf|lua)\b/g, 'X')
    .replace(/[*\\]/g, '')
    .replace(/^>\s*/, '')
}
