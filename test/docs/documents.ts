import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from '../support/project.ts'

/** The documents for people, as paths from the top folder. */
export const documentPaths: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  'CODE_OF_CONDUCT.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'keys/README.md',
  'examples/shop/README.md',
  ...['browser', 'data', 'verifier'].map((folder) => `src/${folder}/README.md`),
  ...readdirSync(join(projectFolder, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
    .sort(),
]

export interface CodeBlock {
  readonly language: string
  readonly text: string
  /** How many lines of the document come before its text. */
  readonly linesBefore: number
}

export function codeBlocks(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((found) => {
    const [, language = '', text = ''] = found
    const linesBefore = markdown.slice(0, found.index).split('\n').length
    return { language, text, linesBefore }
  })
}

/** The text without its code blocks. */
export function proseOf(markdown: string): string {
  return markdown.replace(/^```.*?^```$/gms, '')
}

/** The rows of each table under a heading, or of the whole document: trimmed cells. */
export function tableRows(markdown: string, heading?: string): string[][] {
  const [, ...sections] = proseOf(markdown).split(/^(?=#+ )/m)
  const chosen = sections.filter(
    (one) => heading === undefined || one.replace(/^#+ /, '').startsWith(`${heading}\n`),
  )
  if (chosen.length === 0) throw new Error(`there is no heading ${heading}`)
  const lines = chosen.flatMap((one) => one.split('\n')).filter((line) => line.startsWith('|'))
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

/** The texts in a document that are set as code: `like this`. */
export function codeSpans(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span)
}
