import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { newestSurge, publish, writePage } from './write.ts'

export const reportUsage = `npm run bench -- report [file] [--document]

Makes one HTML page of the result of a surge, the newest in bench/results unless a file is named, with
the newest results of the other scenarios beside it.

  --document   put the run into README.md, docs/benchmarks.md and docs/images/surge.svg as well
`

/** @throws with what is wrong with the arguments or the file */
export function report(args: readonly string[], tell: (line: string) => void): void {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { document: { type: 'boolean', default: false } },
  })
  const [named, ...more] = positionals
  if (more.length > 0) throw new Error(`Name one file.\n\n${reportUsage}`)
  const path = named === undefined ? newestSurge() : resolve(named)
  if (!existsSync(path)) throw new Error(`There is no file ${named}.\n\n${reportUsage}`)
  tell(`report: reading ${relative(process.cwd(), path)}`)
  tell(`report: ${relative(process.cwd(), writePage(path, tell))}`)
  if (!values.document) return
  publish(path)
  tell('report: README.md, docs/benchmarks.md, docs/images/surge.svg and bench/report/surge.json')
}
